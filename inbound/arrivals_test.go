package inbound

import (
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAddressesOfOneRecordFoldToOneText(t *testing.T) {
	same := [][]string{
		{"contacts(emailaddress1='a%40contoso.com')", "Contacts(emailaddress1='A@Contoso.com')", "contacts(emailaddress1='a%40contoso.com%20')"},
		{"new_lines(new_a='x',new_b=3)", "new_lines(new_b=3,new_a='X')"},
		{"contacts(lastname='%C3%84rmel')", "contacts(lastname='%C3%A4rmel')"},
		{"contacts(5531D753-95AF-E711-A94E-000D3A11E605)", "contacts(5531d753-95af-e711-a94e-000d3a11e605)"},
		{"not an address", "Not an address"},
	}
	seen := map[string]int{}
	for i, group := range same {
		for _, path := range group {
			folded := foldPath(path)
			if folded != foldPath(group[0]) {
				t.Errorf("%s folds to %q, %s to %q", path, folded, group[0], foldPath(group[0]))
			}
			if was, ok := seen[folded]; ok && was != i {
				t.Errorf("%s folds to the address of another record", path)
			}
			seen[folded] = i
		}
	}
	for _, differ := range [][2]string{
		{"contacts(lastname='a%2Cb')", "contacts(lastname='a',b)"},
		{"contacts(lastname='%20a')", "contacts(lastname='a')"},
		{"contacts(a='1')", "leads(a='1')"},
	} {
		if foldPath(differ[0]) == foldPath(differ[1]) {
			t.Errorf("%s and %s are not the same record", differ[0], differ[1])
		}
	}
}

func TestWhatIsExpectedFollowsWhatIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o := &lot{}, &orphan{keys: "AB"}
		h := parkedBench(t, parkConfig(), newBroker(), &crm{before: o.before}, &outbox{}, l)
		arrivals := h.route.deps.Arrivals
		h.start()
		h.after(time.Second)
		if got := arrivals.Expected(); len(got) != 0 {
			t.Fatalf("%v is expected while nothing waits", got)
		}
		drain := func() (changed bool) {
			select {
			case <-arrivals.Changed():
				return true
			default:
				return false
			}
		}
		drain()
		h.b.publish("A")
		h.b.publish("B")
		h.after(20 * time.Second)
		if diff := cmp.Diff([]string{"contacts"}, arrivals.Expected()); diff != "" || !drain() {
			t.Errorf("nobody was told, or: %s", diff)
		}
		o.arrive()
		arrivals.Announce("CONTACTS(emailaddress1='P')")
		h.after(2 * time.Second)
		if got := arrivals.Expected(); len(got) != 0 || !drain() {
			t.Errorf("%v is expected after the parent arrived, or nobody was told", got)
		}
	})
}

func TestAParentThatArrivesDuringATryIsNotMissed(t *testing.T) {
	now := time.Now()
	var y yard
	y.shut(now)
	y.fill([]*Parked{{Letter: &Letter{Key: "k", Waits: "contacts(a='1')", Message: &Message{Sequence: 1}}}}, now)
	y.ripen(now)
	if got := y.next(5); len(got) != 1 {
		t.Fatalf("%d messages are tried", len(got))
	}
	if !y.arrived(foldPath("contacts(a='1')")) {
		t.Fatal("nothing waits for it")
	}
	y.stay(messageID{sequence: 1}, now, time.Hour, "contacts(a='1')")
	y.ripen(now)
	if got := y.next(5); len(got) != 1 {
		t.Error("the message waits for its timer although the parent is there")
	}
	y.stay(messageID{sequence: 1}, now, time.Hour, "contacts(a='1')")
	y.ripen(now)
	if got := y.next(5); len(got) != 0 {
		t.Error("one arrival leads to more than one further try")
	}
}

func TestANilArrivalsExpectsNothing(t *testing.T) {
	var a *Arrivals
	a.Announce("contacts(a='1')")
	a.note()
	a.subscribe(listener{})()
	if got := a.Expected(); got != nil {
		t.Errorf("it expects %v", got)
	}
}

func FuzzTheOrderOfAKeysColumnsDoesNotMatter(f *testing.F) {
	f.Add("new_a", "x", "new_b", "y")
	f.Add("a", "1,2", "b", "'('")
	f.Fuzz(func(t *testing.T, a, x, b, y string) {
		part := func(column, value string) string {
			return url.QueryEscape(column) + "='" + url.QueryEscape(value) + "'"
		}
		one := foldPath("lines(" + part(a, x) + "," + part(b, y) + ")")
		two := foldPath("lines(" + part(b, y) + "," + part(a, x) + ")")
		if one != two {
			t.Errorf("%q and %q", one, two)
		}
	})
}
