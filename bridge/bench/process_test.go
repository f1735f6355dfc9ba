package bench

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

// spin works until so much time has passed.
func spin(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}

// A process may have done nearly everything before anybody looked: the figures are then
// not of the few items that were left.
func TestTheFiguresOfAFastProcessAreOfMoreThanItsLastItems(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: &exec.Cmd{Process: self}, ended: make(chan struct{})}
	const step = 50 * time.Millisecond // of work before each count is told
	for name, c := range map[string]struct {
		counts []int
		// spun is how often the work is measured, for so many items.
		spun, items float64
	}{
		"seen at once":           {[]int{10}, 1, 10},
		"nothing, then all":      {[]int{0, 10}, 2, 10},
		"nothing, then nearly":   {[]int{0, 9, 10}, 3, 10},
		"nothing, then a little": {[]int{0, 2, 10}, 2, 8},
	} {
		calls := 0
		f, err := p.follow(t.Context(), 10, func(context.Context) (int, error) {
			spin(step)
			calls++
			return c.counts[calls-1], nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if most := c.items / (c.spun * step.Seconds()); f.rate > most || f.rate <= 0 || f.cpu <= 0 {
			t.Errorf("%s: %.0f items/s, at most %.0f can be; %.1f µs each", name, f.rate, most, f.cpu)
		}
	}
}
