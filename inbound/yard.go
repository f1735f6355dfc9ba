package inbound

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// yard is the index of a route's parked messages, as one session knows it. It is
// guarded by session.mu. While a key has messages here, everything that arrives
// for that key is parked behind them.
type yard struct {
	// open: the index was read under the present claim.
	open bool
	// opened is closed when open becomes true.
	opened chan struct{}
	// busy counts the changes that run; the index is not read meanwhile.
	busy int
	// bays are the messages of each key (by KeyHash), oldest first. A message of
	// several keys stands in several, everywhere in one order, that of the places.
	bays   map[string][]*berth
	berths map[messageID]*berth
	// dues are the fronts, the first ones of all their bays, that are neither ready nor
	// being tried.
	dues dues
	// waiting lists, for a record by its folded path, the fronts that wait for it.
	waiting map[string]map[*berth]struct{}
	// sets counts those records by entity set; changed is called when a set comes
	// or goes.
	sets    map[string]int
	changed func()
	ready   []*berth // fronts to try now, in their order
	hushed  []*berth // fronts to try when quiet is over
	count   int
	places  int // count, with every message as often as it has keys
	out     int
	// held is when the term was begun or renewed last; term and seen watch that of
	// somebody else, who is gone when abandoned.
	held, seen time.Time
	term       uint64
	abandoned  bool
	// quiet is when the clients before this one have surely stopped trying. calm is the
	// same as the last opening of the index left it, zero before the first one.
	quiet, calm time.Time
}

// berth is one parked message.
type berth struct {
	parked *Parked
	// behind counts the bays in which another message is the first.
	behind int
	// due is when it is tried again, at the latest.
	due time.Time
	// first is since when it is a front.
	first time.Time
	waits string
	// foreign: it was parked before the index was read, so that others may know of it.
	foreign bool
	// ready: it is among yard.ready or hushed. out: it is being tried. again: what it
	// waits for arrived meanwhile.
	ready, out, again bool
	// place is that among yard.dues.
	place int
}

// keys lists the bays of a parked message.
func (b *berth) keys(yield func(string) bool) {
	if !yield(b.parked.Letter.Key) {
		return
	}
	for _, key := range b.parked.Letter.Keys {
		if !yield(key) {
			return
		}
	}
}

func (y *yard) shut(quiet time.Time) {
	if y.open || y.opened == nil {
		y.opened = make(chan struct{})
	}
	y.open, y.quiet = false, quiet
}

// settle notes how the term began: until when others may still try what is parked.
func (y *yard) settle(o Opened, now time.Time, ackWait time.Duration) {
	switch {
	case o.Ended, len(o.Parked) == 0 && !o.Unsure:
		y.calm = now
	case o.Own && !y.calm.IsZero():
		// Nobody else had a term since, so it is as it was.
	default:
		y.calm = now.Add(ackWait)
	}
}

// full tells whether no further key may be parked.
func (y *yard) full() bool { return y.places >= maxParked }

// fill takes over what is stored.
func (y *yard) fill(all []*Parked, now time.Time) {
	y.bays, y.berths = make(map[string][]*berth), make(map[messageID]*berth, len(all))
	y.dues, y.waiting = nil, make(map[string]map[*berth]struct{})
	y.ready, y.hushed, y.count, y.places, y.out, y.sets = nil, nil, 0, 0, 0, make(map[string]int)
	y.notify()
	slices.SortStableFunc(all, func(a, b *Parked) int { return int(int64(a.Place) - int64(b.Place)) })
	for _, p := range all {
		if id := p.Letter.Message.id(); y.berths[id] == nil {
			y.add(p, now, 0)
			y.berths[id].foreign = true
		}
	}
	y.open = true
	close(y.opened)
}

// add puts a message at the end of its keys' bays. wait is the time until it is
// tried, if it is a front at once.
func (y *yard) add(p *Parked, now time.Time, wait time.Duration) {
	b := &berth{parked: p}
	for key := range b.keys {
		if len(y.bays[key]) > 0 {
			b.behind++
		}
		y.bays[key] = append(y.bays[key], b)
		y.places++
	}
	y.berths[p.Letter.Message.id()] = b
	y.count++
	if b.behind == 0 {
		y.front(b, now, wait)
	}
}

// front makes a message one that can be tried, after wait.
func (y *yard) front(b *berth, now time.Time, wait time.Duration) {
	b.due, b.first = now.Add(wait), now
	y.dues.put(b)
	y.expect(b, b.parked.Letter.Waits)
}

// expect notes what a front waits for, instead of what it waited for before.
func (y *yard) expect(b *berth, waits string) {
	for path := range strings.FieldsSeq(b.waits) {
		if fronts := y.waiting[foldPath(path)]; fronts != nil {
			if delete(fronts, b); len(fronts) == 0 {
				delete(y.waiting, foldPath(path))
				y.countSet(path, -1)
			}
		}
	}
	b.waits = waits
	for path := range strings.FieldsSeq(waits) {
		path = foldPath(path)
		if y.waiting[path] == nil {
			y.waiting[path] = make(map[*berth]struct{})
			y.countSet(path, 1)
		}
		y.waiting[path][b] = struct{}{}
	}
}

// countSet counts the records of an entity set that something waits for.
func (y *yard) countSet(path string, change int) {
	set, _, _ := strings.Cut(path, "(")
	set = strings.ToLower(set)
	before := y.sets[set]
	if y.sets[set] = before + change; y.sets[set] == 0 {
		delete(y.sets, set)
	}
	if before == 0 || before+change == 0 {
		y.notify()
	}
}

func (y *yard) notify() {
	if y.changed != nil {
		y.changed()
	}
}

// arrived makes the messages ready that waited for a record. It tells whether there
// are any.
func (y *yard) arrived(path string) bool {
	fronts := y.waiting[path]
	for b := range fronts {
		b.again = b.out
		y.prepare(b)
	}
	return len(fronts) > 0
}

// ripen moves the messages whose time has come to the ready ones, and tells when the
// next one is due; the zero time when none waits. Those of others wait for the quiet.
func (y *yard) ripen(now time.Time) (next time.Time) {
	for len(y.dues) > 0 && next.IsZero() {
		if b := y.dues[0]; now.Before(b.due) {
			next = b.due
		} else {
			y.prepare(b)
		}
	}
	switch {
	case len(y.hushed) == 0:
	case !now.Before(y.quiet):
		y.ready, y.hushed = append(y.ready, y.hushed...), nil
	case next.IsZero() || y.quiet.Before(next):
		next = y.quiet
	}
	return next
}

// prepare puts a front at the end of the ready ones, or of those that ripen makes ready.
func (y *yard) prepare(b *berth) {
	if b.ready || b.out {
		return
	}
	y.dues.take(b)
	if b.ready = true; b.foreign {
		y.hushed = append(y.hushed, b)
	} else {
		y.ready = append(y.ready, b)
	}
}

// next takes ready messages, at most n.
func (y *yard) next(n int) []*Parked {
	var first []*Parked
	for len(y.ready) > 0 && len(first) < n {
		b := y.ready[0]
		y.ready = y.ready[1:]
		b.ready, b.out = false, true
		y.out++
		first = append(first, b.parked)
	}
	return first
}

// stay keeps a message that was tried for another try.
func (y *yard) stay(id messageID, now time.Time, wait time.Duration, waits string) {
	b := y.berths[id]
	if b == nil || !b.out {
		return
	}
	if b.again {
		wait = 0
	}
	b.out, b.again, b.due = false, false, now.Add(wait)
	y.dues.put(b)
	y.out--
	y.expect(b, waits)
}

// leave removes a message that was tried; those that were behind it alone are ready
// at once.
func (y *yard) leave(id messageID, now time.Time) {
	b := y.berths[id]
	if b == nil || !b.out {
		return
	}
	y.out--
	y.count--
	y.expect(b, "")
	delete(y.berths, id)
	for key := range b.keys {
		y.places--
		bay := y.bays[key]
		bay[0] = nil
		if bay = bay[1:]; len(bay) == 0 {
			delete(y.bays, key)
			continue
		}
		y.bays[key] = bay
		if next := bay[0]; next.behind > 1 {
			next.behind--
		} else {
			next.behind = 0
			y.front(next, now, 0)
			y.prepare(next)
		}
	}
}

// references lists the records that a write binds by address, as paths below the
// API root, separated by blanks: contacts(emailaddress1='a%40contoso.com').
func references(w *schema.Write) string {
	paths := map[string]bool{}
	for _, body := range []json.RawMessage{w.Body, w.OnCreate} {
		var members map[string]json.RawMessage
		if json.Unmarshal(body, &members) != nil {
			continue
		}
		for name, value := range members {
			var path string
			if strings.HasSuffix(name, "@odata.bind") && json.Unmarshal(value, &path) == nil {
				if path = strings.TrimPrefix(path, "/"); path != "" && !strings.ContainsAny(path, " \t\r\n") {
					paths[path] = true
				}
			}
		}
	}
	for _, r := range w.References {
		if r.Address != "" {
			paths[r.Address] = true
		}
	}
	for _, p := range w.Parents() {
		if p.Address != "" {
			paths[p.Address] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(paths)), " ")
}

// about tells whether a failure that is to be repeated may concern one record
// alone. What concerns everybody is no reason to park.
func about(err *outcome.Error) bool {
	switch err.Verdict {
	case outcome.RetryAfter, outcome.Reauthenticate:
		return false
	}
	return err.Reason != outcome.Network
}
