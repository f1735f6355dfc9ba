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
	bays map[string]*bay // by KeyHash
	ids  map[messageID]bool
	// waiting lists, for a record by its folded path, the keys that wait for it.
	waiting map[string]map[string]bool
	// sets counts those records by entity set; changed is called when a set comes
	// or goes.
	sets    map[string]int
	changed func()
	ready   []string // keys to try now, in their order
	count   int
	out     int
	// held is when the term was begun or renewed last; term and seen watch that of
	// somebody else, who is gone when abandoned.
	held, seen time.Time
	term       uint64
	abandoned  bool
	// quiet ends when the client before this one has surely stopped.
	quiet time.Time
}

// bay holds the parked messages of one key, oldest first.
type bay struct {
	queue []*Parked
	// due is when the first is tried again, at the latest.
	due time.Time
	// first is since when the first one is the first.
	first time.Time
	waits string
	// ready: the key is among yard.ready. out: the first is being tried. again: what
	// it waits for arrived meanwhile.
	ready, out, again bool
}

func (y *yard) shut(quiet time.Time) {
	if y.open || y.opened == nil {
		y.opened = make(chan struct{})
	}
	y.open, y.quiet = false, quiet
}

// fill takes over what is stored.
func (y *yard) fill(all []*Parked, now time.Time) {
	y.bays, y.waiting, y.count, y.out = make(map[string]*bay), make(map[string]map[string]bool), 0, 0
	y.ready, y.ids, y.sets = nil, make(map[messageID]bool, len(all)), make(map[string]int)
	y.notify()
	slices.SortStableFunc(all, func(a, b *Parked) int { return int(int64(a.Place) - int64(b.Place)) })
	for _, p := range all {
		if !y.ids[p.Letter.Message.id()] {
			y.add(p, now, 0)
		}
	}
	y.open = true
	close(y.opened)
}

// add puts a message at the end of its key's bay. wait is the time until the
// first one of a new bay is tried.
func (y *yard) add(p *Parked, now time.Time, wait time.Duration) {
	key := p.Letter.Key
	b := y.bays[key]
	if b == nil {
		b = &bay{due: now.Add(wait), first: now}
		y.bays[key] = b
		y.expect(key, b, p.Letter.Waits)
	}
	b.queue = append(b.queue, p)
	y.ids[p.Letter.Message.id()] = true
	y.count++
}

// expect notes what a key waits for, instead of what it waited for before.
func (y *yard) expect(key string, b *bay, waits string) {
	for path := range strings.FieldsSeq(b.waits) {
		if keys := y.waiting[foldPath(path)]; keys != nil {
			if delete(keys, key); len(keys) == 0 {
				delete(y.waiting, foldPath(path))
				y.countSet(path, -1)
			}
		}
	}
	b.waits = waits
	for path := range strings.FieldsSeq(waits) {
		path = foldPath(path)
		if y.waiting[path] == nil {
			y.waiting[path] = make(map[string]bool)
			y.countSet(path, 1)
		}
		y.waiting[path][key] = true
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

// arrived makes the keys ready that waited for a record. It tells whether there are any.
func (y *yard) arrived(path string) bool {
	keys := y.waiting[path]
	for key := range keys {
		if b := y.bays[key]; b != nil {
			b.again = b.out
			y.prepare(key, b)
		}
	}
	return len(keys) > 0
}

// ripen moves the keys whose time has come to the ready ones, and tells when the
// next one is due; the zero time when none waits.
func (y *yard) ripen(now time.Time) (next time.Time) {
	for key, b := range y.bays {
		switch {
		case b.out || b.ready:
		case !now.Before(b.due):
			y.prepare(key, b)
		case next.IsZero() || b.due.Before(next):
			next = b.due
		}
	}
	return next
}

// prepare puts a key at the end of the ready ones.
func (y *yard) prepare(key string, b *bay) {
	if !b.ready && !b.out {
		b.ready = true
		y.ready = append(y.ready, key)
	}
}

// next takes the first messages of ready keys, at most n.
func (y *yard) next(n int) []*Parked {
	var first []*Parked
	for len(y.ready) > 0 && len(first) < n {
		b := y.bays[y.ready[0]]
		y.ready = y.ready[1:]
		if b == nil || !b.ready {
			continue
		}
		b.ready, b.out = false, true
		y.out++
		first = append(first, b.queue[0])
	}
	return first
}

// stay keeps the first message of a key for another try.
func (y *yard) stay(key string, now time.Time, wait time.Duration, waits string) {
	b := y.bays[key]
	if b == nil || !b.out {
		return
	}
	if b.again {
		wait = 0
	}
	b.out, b.again, b.due = false, false, now.Add(wait)
	y.out--
	y.expect(key, b, waits)
}

// leave removes the first message of a key; the next one is ready at once.
func (y *yard) leave(key string, now time.Time) {
	b := y.bays[key]
	if b == nil || !b.out {
		return
	}
	b.out, b.again = false, false
	y.out--
	y.count--
	delete(y.ids, b.queue[0].Letter.Message.id())
	if b.queue = b.queue[1:]; len(b.queue) == 0 {
		y.expect(key, b, "")
		delete(y.bays, key)
		return
	}
	b.first = now
	y.expect(key, b, b.queue[0].Letter.Waits)
	y.prepare(key, b)
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
