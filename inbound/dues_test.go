package inbound

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A yard is held against a list that is looked through from end to end.
func TestParkedMessagesAreTriedInTheOrderOfTheirTimes(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		now := time.Unix(0, 0)
		span := func() time.Duration { return time.Duration(rnd.IntN(20)) * time.Second }
		var y yard
		y.shut(now)
		y.fill(nil, now)
		due, ready, out := map[messageID]time.Time{}, map[messageID]bool{}, map[messageID]bool{}
		pick := func(from map[messageID]bool) messageID {
			ids := make([]messageID, 0, len(from))
			for id := range from {
				ids = append(ids, id)
			}
			slices.SortFunc(ids, func(a, b messageID) int { return int(a.sequence) - int(b.sequence) })
			return ids[rnd.IntN(len(ids))]
		}
		path := func(sequence uint64) string { return fmt.Sprintf("contacts(a='%d')", sequence) }
		for step := range uint64(400) {
			switch rnd.IntN(5) {
			case 0:
				m := &Message{Sequence: step + 1}
				wait := span()
				y.add(&Parked{Place: step + 1, Letter: &Letter{Key: fmt.Sprint("k", step), Waits: path(step + 1), Message: m}}, now, wait)
				due[m.id()] = now.Add(wait)
			case 1:
				if len(out) > 0 {
					id, wait := pick(out), span()
					y.stay(id, now, wait, path(id.sequence))
					delete(out, id)
					due[id] = now.Add(wait)
				}
			case 2:
				if len(out) > 0 {
					id := pick(out)
					y.leave(id, now)
					delete(out, id)
				}
			case 3:
				if len(due) > 0 {
					waiting := map[messageID]bool{}
					for id := range due {
						waiting[id] = true
					}
					id := pick(waiting)
					y.arrived(foldPath(path(id.sequence)))
					delete(due, id)
					ready[id] = true
				}
			case 4:
				now = now.Add(span() / 4)
			}
			var soonest time.Time
			for id, at := range due {
				switch {
				case !now.Before(at):
					delete(due, id)
					ready[id] = true
				case soonest.IsZero() || at.Before(soonest):
					soonest = at
				}
			}
			if next := y.ripen(now); !next.Equal(soonest) {
				t.Fatalf("seed %d, step %d: the next try is due at %s, want %s", seed, step, next, soonest)
			}
			for _, p := range y.next(rnd.IntN(3)) {
				id := p.Letter.Message.id()
				if !ready[id] {
					t.Fatalf("seed %d, step %d: message %d is tried before its time", seed, step, id.sequence)
				}
				delete(ready, id)
				out[id] = true
			}
			if len(y.ready) != len(ready) || y.out != len(out) || len(y.dues) != len(due) || y.count != len(ready)+len(out)+len(due) {
				t.Fatalf("seed %d, step %d: %d ready, %d tried, %d waiting of %d, want %d, %d, %d",
					seed, step, len(y.ready), y.out, len(y.dues), y.count, len(ready), len(out), len(due))
			}
		}
	}
}

func TestOfMessagesThatAreDueAtOnceTheOldestIsTriedFirst(t *testing.T) {
	now := time.Unix(0, 0)
	var y yard
	y.shut(now)
	y.fill(nil, now)
	for _, place := range []uint64{5, 3, 9, 1, 7} {
		y.add(&Parked{Place: place, Letter: &Letter{Key: fmt.Sprint(place), Message: &Message{Sequence: place}}}, now, time.Second)
	}
	y.ripen(now.Add(time.Second))
	var got []uint64
	for _, p := range y.next(9) {
		got = append(got, p.Place)
	}
	if want := []uint64{1, 3, 5, 7, 9}; !slices.Equal(got, want) {
		t.Errorf("tried %v, want %v", got, want)
	}
}

func TestTheFirstTryOfAParkedMessageIsNeverFarAwayHoweverLongMessagesWaitInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := parkConfig()
		cfg.ParkAfter, cfg.GiveUpParked = 3*time.Hour, 48*time.Hour
		o := &orphan{keys: "A"}
		c := &crm{before: o.before}
		l := &lot{}
		h := parkedBench(t, cfg, newBroker(), c, &outbox{}, l)
		for range laneCap + 2 { // so many of one key that it is parked
			h.b.publish("A")
		}
		h.start()
		h.after(time.Minute)
		if l.count() == 0 {
			t.Fatal("nothing is parked")
		}
		o.arrive() // and nobody announces it
		h.after(maxParkWait + time.Minute)
		if got := len(c.sequences("A")); got != laneCap+2 || l.count() != 0 {
			t.Errorf("%d messages are written, %d parked", got, l.count())
		}
	})
}
