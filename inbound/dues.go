package inbound

import "container/heap"

// dues are the parked messages that wait for the time of their next try, the next one
// first and of several the oldest. There may be very many, and what comes next is asked
// for whenever one was tried.
type dues []*berth

// put adds a message, which is not among them.
func (d *dues) put(b *berth) { heap.Push(d, b) }

// take removes a message, if it is among them.
func (d *dues) take(b *berth) {
	if b.place > 0 {
		heap.Remove(d, b.place-1)
	}
}

// The methods of heap.Interface. A berth knows its place, counted from 1; 0 is none.

func (d dues) Len() int { return len(d) }

func (d dues) Less(i, j int) bool {
	if c := d[i].due.Compare(d[j].due); c != 0 {
		return c < 0
	}
	return d[i].parked.Place < d[j].parked.Place
}

func (d dues) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i+1, j+1
}

func (d *dues) Push(x any) {
	b := x.(*berth)
	*d = append(*d, b)
	b.place = len(*d)
}

func (d *dues) Pop() any {
	last := len(*d) - 1
	b := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	b.place = 0
	return b
}
