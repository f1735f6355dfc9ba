package outbound

import "testing"

func TestFilterNeverDeniesWhatItWasGiven(t *testing.T) {
	t.Parallel()
	f := newIDFilter()
	const n = 200_000
	for i := range n {
		f.add(recordID(i))
	}
	for i := range n {
		if !f.has(recordID(i)) {
			t.Fatalf("id %d was added and is denied", i)
		}
	}
	wrong := 0
	for i := range n {
		if f.has(recordID(n + i)) {
			wrong++
		}
	}
	if wrong > n/100 {
		t.Errorf("%d of %d unknown ids are claimed, want less than 1 %%", wrong, n)
	}
}

func TestFilterStaysWithinItsBound(t *testing.T) {
	t.Parallel()
	f := newIDFilter()
	for range 20 {
		f.grow() // as if the layer before had filled up
	}
	bytes := 0
	for _, l := range f.layers {
		bytes += len(l) * 8
	}
	if bytes > 16<<20 {
		t.Errorf("the filter takes %d bytes", bytes)
	}
	f.add("beyond the last layer")
	if !f.has("beyond the last layer") || f.room >= 0 {
		t.Error("the last layer does not take the rest")
	}
}
