package bench

import (
	"testing"
	"time"
)

func TestWhatIsOwedIsHeldAgainstTheFigures(t *testing.T) {
	good := Result{Name: "outbound-load-400B", Ratio: 0.8, CPU: 10, RSS: 150}
	for _, c := range []struct {
		name   string
		change func(*Result)
		met    bool
	}{
		{"at the bounds", func(*Result) {}, true},
		{"ratio", func(r *Result) { r.Ratio = 0.79 }, false},
		{"processor time", func(r *Result) { r.CPU = 10.1 }, false},
		{"memory", func(r *Result) { r.RSS = 151 }, false},
	} {
		r := good
		c.change(&r)
		r.Owed = owed(r)
		if len(r.Owed) != 3 || Met([]Result{r}) != c.met {
			t.Errorf("%s: %v", c.name, r.Owed)
		}
	}
	always := Result{Name: "outbound-load-400B-sync-always", Ours: 31_999, RSS: 1}
	if list := owed(always); len(list) != 2 || list[0].Met || list[0].String() != "ours >= 32000 MISSED" || list[1].String() != "rss_mib <= 150" {
		t.Errorf("the longer name goes first: %v", list)
	}
	if list := owed(Result{Name: "inbound-patch-1ms-8"}); list == nil || len(list) != 0 {
		t.Errorf("nothing is owed of a case outside the table: %v", list)
	}
}

// A case of the table whose promise has another name would never be held to it.
func TestEveryPromiseIsOfACase(t *testing.T) {
	var names []string
	for _, c := range cases(Options{Batch: 100}) {
		names = append(names, c.name)
	}
	names = append(names, "doorbell-p50", "doorbell-p99", "idle-cpu-50-tables", "idle-requests-50-tables")
	for _, p := range promises {
		found := false
		for _, name := range names {
			found = found || len(owed(Result{Name: name})) > 0 && len(name) >= len(p.begin) && name[:len(p.begin)] == p.begin
		}
		if !found {
			t.Errorf("no case is called %s", p.begin)
		}
	}
}

func TestAPercentileIsATimeThatWasMeasured(t *testing.T) {
	var list []time.Duration
	for i := range 100 {
		list = append(list, time.Duration(i+1)*time.Millisecond)
	}
	if percentile(list, 50) != 50 || percentile(list, 99) != 99 || percentile(list[:1], 99) != 1 {
		t.Errorf("p50 %v, p99 %v, of one %v", percentile(list, 50), percentile(list, 99), percentile(list[:1], 99))
	}
}
