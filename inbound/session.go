package inbound

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"cebridge/schema"
)

// maxHoldBack is how many AckWaits a gate may stay closed over waiting messages.
// What a vanished client left comes back within one.
const maxHoldBack = 3

// entry is one message in hand: delivered here and not settled.
type entry struct {
	session *session
	message *Message
	// lanes are the keys of its writes, each once, in their order; none when the
	// message has no place in an order.
	lanes []string
	prepared
	progress *progress
	// done counts the writes that were accepted since the message is in hand, or
	// before it was parked. Results are the answers, for a message of several.
	done    int
	results []schema.Result
	arrived time.Time
	// parked is set for a message that comes out of the parked ones.
	parked *Parked

	// The rest is guarded by session.mu.

	delivery Delivery
	claim    string
	// extended is when the server last heard, or is known to have begun to wait,
	// for this message.
	extended time.Time
	gated    bool
	settling bool
	// unsure: an attempt of this session may still take effect. It is written by the
	// goroutine that works on the message.
	unsure bool
	// running: it is being worked on, as the first of all its lanes. Else blocked
	// counts the lanes in which another is the first.
	running bool
	blocked int
	// followed: others wait in its lanes, of which it is the first.
	followed bool
}

// session is one stretch of work between two take-overs of the route by a person,
// a fault or the end: it begins with nothing in hand and a closed gate, and what
// it has in hand at its end it leaves to redelivery.
type session struct {
	route *Route

	// intake ends first: nothing more is pulled and no new attempt begins. work is
	// the context of running writes, settle that of acknowledgements, letters and
	// receipts; both outlive the route's own context for a bounded time.
	intake, work, settle          context.Context
	endIntake, endWork, endSettle context.CancelFunc
	stopKeeping                   chan struct{}
	gateShut                      chan struct{}
	freed, slots, retrySlots      chan struct{}
	goroutines                    sync.WaitGroup
	yardPoke                      chan struct{}
	// settling gives the contexts of calls that settle: settle, with a deadline.
	settling deadlines
	// idle hands work to one of the idlers, goroutines that have none.
	idle   chan *entry
	idlers atomic.Int32
	crew   crew
	// mapping keeps the mapper to one goroutine at a time.
	mapping sync.Mutex
	// tenancy is nil before the first write; entering is taken to change it.
	tenancy  atomic.Pointer[tenancy]
	entering chan struct{}

	mu       sync.Mutex
	unsure   int // messages whose acknowledgement is kept back
	held     map[messageID]*entry
	lanes    lanes
	gate     gate
	yard     yard
	shutAt   time.Time
	lastTick time.Time
	ending   bool
	cause    error
}

var (
	errEnd      = errors.New("the route is ending")
	errPaused   = errors.New("the route is paused")
	errLapsed   = errors.New("the server may deliver the messages in hand to others")
	errHandOver = errors.New("another client is to have the messages in hand")
)

func newSession(ctx context.Context, r *Route) *session {
	s := &session{
		route:       r,
		stopKeeping: make(chan struct{}),
		gateShut:    make(chan struct{}, 1),
		yardPoke:    make(chan struct{}, 1),
		freed:       make(chan struct{}, 1),
		slots:       make(chan struct{}, r.cfg.Concurrency),
		retrySlots:  make(chan struct{}, max(1, r.cfg.Concurrency/2)),
		entering:    make(chan struct{}, 1),
		idle:        make(chan *entry),
		crew:        crew{limit: r.cfg.Concurrency},
		held:        make(map[messageID]*entry),
		lastTick:    time.Now(),
	}
	s.yard.shut(time.Now().Add(r.cfg.AckWait))
	detached := context.WithoutCancel(ctx)
	s.intake, s.endIntake = context.WithCancel(ctx)
	s.work, s.endWork = context.WithCancel(detached)
	s.settle, s.endSettle = context.WithCancel(detached)
	s.settling = deadlines{parent: s.settle, limit: r.cfg.SettleTimeout}
	return s
}

// run works until the session ends, and returns why it did.
func (s *session) run(ctx context.Context) error {
	defer s.endIntake()
	defer s.endSettle()
	defer s.endWork()
	unwatch := context.AfterFunc(ctx, func() { s.end(errEnd) })
	defer unwatch()

	var keepers sync.WaitGroup
	keepers.Go(s.keepHeld)
	keepers.Go(s.watchPosition)
	keepers.Go(s.keepYard)

	err := s.route.feed.Run(s.intake, s.handle)
	switch {
	case ctx.Err() != nil:
		err = errEnd
	case err == nil:
		err = errors.New("the feed ended by itself")
	}
	s.end(err)
	s.drain()
	s.depart()
	close(s.stopKeeping)
	keepers.Wait()
	s.giveBack(time.Now())

	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// end stops intake and new attempts. The first cause counts.
func (s *session) end(cause error) {
	s.mu.Lock()
	if !s.ending {
		s.ending, s.cause = true, cause
	}
	s.mu.Unlock()
	s.endIntake()
}

// lapse ends the session at once: the messages in hand may be somebody else's by
// now, so nothing more may be written or acknowledged for them.
func (s *session) lapse() {
	s.end(errLapsed)
	s.endWork()
	s.endSettle()
}

// drain waits for what is running: first for writes, then for their settlement.
func (s *session) drain() {
	done := make(chan struct{})
	go func() { s.goroutines.Wait(); close(done) }()
	grace := time.NewTimer(s.route.cfg.Grace)
	defer grace.Stop()
	select {
	case <-done:
		return
	case <-s.work.Done():
	case <-grace.C:
	}
	s.endWork()
	late := time.NewTimer(s.route.cfg.SettleTimeout)
	defer late.Stop()
	select {
	case <-done:
		return
	case <-late.C:
	}
	s.endSettle()
	<-done
}

// depart tells those who come next what they need not wait for.
func (s *session) depart() {
	ctx, cancel := context.WithTimeout(s.settle, s.route.cfg.SettleTimeout)
	defer cancel()
	s.leave(ctx)
	s.endTerm(ctx)
}

// handle takes one delivery in. It blocks while there is no room.
func (s *session) handle(d Delivery) {
	m := d.Message()
	if !s.arrive(m) {
		s.leaveOver(d)
		return
	}
	if s.replaced(m, d) {
		return
	}
	waited, ok := s.takeRoom()
	if !ok {
		s.leaveOver(d)
		return
	}
	if waited > s.route.cfg.AckWait/3 {
		// What lay in the client's buffer meanwhile may have been delivered to
		// somebody else; a fresh position will tell.
		s.mu.Lock()
		s.closeGate()
		s.mu.Unlock()
	}
	e := &entry{
		session: s, message: m, delivery: d, claim: m.Claim, arrived: time.Now(),
		progress: s.route.memory.recall(m.id()),
	}
	p, err := s.prepareOne(m)
	if err != nil {
		s.stopOn(err)
		s.leaveOver(d)
		return
	}
	e.prepared = p
	if e.fate == nil {
		e.lanes = p.lanes()
	}
	s.inheritSettled(e)
	s.accept(e)
}

// prepareOne maps one message at a time, as a Mapper may expect.
func (s *session) prepareOne(m *Message) (prepared, error) {
	s.mapping.Lock()
	defer s.mapping.Unlock()
	return s.route.prepare(s.work, m)
}

// arrive lets the gate see the delivery. It tells whether the delivery may be
// taken at all.
func (s *session) arrive(m *Message) bool {
	s.mu.Lock()
	ending, news := s.ending, false
	if !ending && s.gate.note(m) {
		news = s.route.standing.took(time.Now())
		s.route.guard.forget()
		s.closedGate()
		s.shutYard()
	}
	s.mu.Unlock()
	if news {
		s.route.activated()
	}
	return !ending
}

// replaced recognises another delivery of a message in hand. The newer one is
// what the server waits for now.
func (s *session) replaced(m *Message, d Delivery) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.held[m.id()]
	if e == nil {
		return false
	}
	e.delivery, e.claim, e.extended = d, m.Claim, s.lastTick
	s.tryOpen()
	return true
}

// takeRoom waits until less than MaxHeld is in hand. A closed gate has no such
// limit, since it opens only when everything outstanding is in hand; what a
// consumer has outstanding is limited by its own configuration.
func (s *session) takeRoom() (waited time.Duration, ok bool) {
	var began time.Time
	for {
		s.mu.Lock()
		free := !s.gate.open || len(s.held) < s.route.cfg.MaxHeld
		s.mu.Unlock()
		switch {
		case free && began.IsZero():
			return 0, true
		case free:
			return time.Since(began), true
		case began.IsZero():
			began = time.Now()
		}
		select {
		case <-s.freed:
		case <-s.intake.Done():
			return 0, false
		}
	}
}

// accept puts a prepared message to work, now or when the gate opens.
func (s *session) accept(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		s.keepOver(e.delivery)
		return
	}
	// The server waits since some moment before this one; the last tick is surely
	// not after it unless the process stood still, which the next tick notices.
	e.extended = s.lastTick
	s.held[e.message.id()] = e
	switch {
	case e.progress.settlement != nil && s.route.late.own(e.lanes, e.message.id()) <= 0:
		// Its write is long done; only the rest is missing, and nothing can be
		// opened before it is.
		e.settling = true
		s.goroutines.Go(func() { s.workOn(e) })
	case s.gate.open:
		s.start(e)
	default:
		e.gated = true
	}
	s.tryOpen()
}

// start puts a message into its lanes and begins with it when its turn is now.
func (s *session) start(e *entry) {
	e.gated = false
	if len(e.lanes) == 0 || s.lanes.add(e) {
		s.begin(e)
	}
}

// after returns what the goroutine that worked on e does next. When the end of e waits
// for the confirmation of its acknowledgement, whoever hears of that goes on with its lanes.
func (s *session) after(e *entry, came stage) *entry {
	if came == settled {
		if next := s.advance(e); next != nil {
			return s.crew.inTurn(next)
		}
	}
	return s.crew.next()
}

// advance lets what waited for e begin. It returns one message for the caller to begin,
// nil when there is none.
func (s *session) advance(e *entry) *entry {
	s.mu.Lock()
	next, more := s.lanes.done(e)
	s.mu.Unlock()
	for _, m := range more {
		s.begin(m)
	}
	return next
}

// release lets go of a settled or abandoned message.
func (s *session) release(e *entry) {
	if e.parked != nil {
		s.yard.leave(e.message.id(), time.Now())
		s.pokeYard()
		return
	}
	delete(s.held, e.message.id())
	select {
	case s.freed <- struct{}{}:
	default:
	}
}
