package webapi

import "time"

const (
	// slowFactor and slowMargin: single writes that take this much longer than
	// they did at best are a sign that more of them at once only wait in the server.
	slowFactor, slowMargin = 2, 50 * time.Millisecond
	// overloadFactor and overloadMargin: the same, so much that less is better.
	overloadFactor, overloadMargin = 4, 500 * time.Millisecond
	// forget is how fast the best time is given up: a sixteenth of the distance a window.
	forget = 16
)

// tuning finds the limit by what the answers of one window after the other say.
type tuning struct {
	// epoch counts the halvings. What was admitted in an earlier one tells
	// nothing about the present limit.
	epoch uint64
	// starting: nothing was ever too much, and the limit doubles with every clean
	// window rather than growing by one.
	starting bool
	hinted   bool

	// The present window. pressed: the limit held something back.
	answers int
	pressed bool
	writes  int
	spent   time.Duration

	best time.Duration // lowest mean time of single writes
}

// next is the limit after the end of one more request.
func (t *tuning) next(limit, most int, p *permit) int {
	if p.hint > 0 && !t.hinted {
		// The first hint is the start; the answers tell the rest.
		t.hinted = true
		if t.starting {
			return min(p.hint, most)
		}
	}
	if p.epoch != t.epoch {
		return limit
	}
	switch p.sign {
	case congested:
		t.epoch++
		t.starting = false
		t.newWindow()
		return max(1, limit/2)
	case clean:
		t.answers++
		if p.took > 0 {
			t.writes++
			t.spent += p.took
		}
		if t.answers >= limit {
			limit = t.endWindow(limit, most)
		}
	}
	return limit
}

func (t *tuning) endWindow(limit, most int) int {
	slow, overloaded := t.latency()
	pressed := t.pressed
	t.newWindow()
	switch {
	case overloaded:
		t.starting = false
		return max(1, limit-max(1, limit/8))
	case slow:
		t.starting = false
		return limit
	case !pressed:
		return limit
	case t.starting:
		return min(most, 2*limit)
	}
	return min(most, limit+1)
}

// latency compares the window's writes with the best there were. The best is
// slowly forgotten, since a server may become slower for good.
func (t *tuning) latency() (slow, overloaded bool) {
	if t.writes == 0 {
		return false, false
	}
	mean := t.spent / time.Duration(t.writes)
	if t.best == 0 || mean < t.best {
		t.best = mean
		return false, false
	}
	slow = mean > slowFactor*t.best+slowMargin
	overloaded = mean > overloadFactor*t.best+overloadMargin
	t.best += (mean - t.best) / forget
	return slow, overloaded
}

func (t *tuning) newWindow() {
	t.answers, t.pressed, t.writes, t.spent = 0, false, 0, 0
}
