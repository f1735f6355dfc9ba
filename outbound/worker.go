package outbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"cebridge/schema/event"
	"cebridge/schema/telemetry"
)

// shutdownGrace is how long a commit that was begun may still take once the
// context ended.
const shutdownGrace = 10 * time.Second

// pokeGap is the least time between the starts of two polls, however often the
// doorbell rings.
const pokeGap = 50 * time.Millisecond

// Worker follows one table. Its methods may be called from any goroutine.
type Worker struct {
	cfg         TableConfig
	table       string
	source      Source
	log         Stream
	encoder     *event.Encoder
	logger      *slog.Logger
	tracer      trace.Tracer
	spanTable   trace.SpanStartEventOption // names the table in a span
	measures    *measures
	jitter      *jitter
	observe     func(Published)
	pacer       Pacer
	shaper      *Shaper
	comparer    comparer // of the goroutine that compares pages
	subject     string   // of the checkpoint
	fingerprint string
	logical     map[string]string // read name to logical name, where they differ
	keyMembers  []string          // read names of the alternate keys' columns
	finder      Finder
	payloads    Payloads

	board   *board
	poke    chan struct{}
	wake    chan struct{} // signals that paused or halted changed
	running atomic.Bool
	// stop ends the work in progress; guarded by the board's lock.
	stop context.CancelFunc

	// The fields below belong to Run's goroutine.
	session  *session
	everHeld bool
	// inspected is when column security was last asked for; zero: never.
	inspected time.Time
	// fitted: a checkpoint of this configuration was held.
	fitted  bool
	resyncs int // begun since the last good round
	// maxBatch shrinks where an operator lowered the server's limit.
	maxBatch  int
	retention Retention
	life      tokenLife
	overlap   overlapPlan
	failures  int
	fences    int
	lastPoll  time.Time
	lastWarn  string
	rhythm    rhythm
	// begun: the table waited for its turn to begin.
	begun bool
}

// NewWorker checks the configuration and makes a worker; nothing is read or
// written before Run. The error lists every fault.
func NewWorker(cfg TableConfig, source Source, log Stream, deps Deps) (*Worker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("outbound table: %w", err)
	}
	if source == nil || log == nil {
		return nil, errors.New("outbound table: a source and a log are needed")
	}
	table := cfg.Query.Table
	encoder, err := event.NewEncoder(cfg.Settings)
	if err != nil {
		return nil, fmt.Errorf("outbound table %s: %w", table.LogicalName, err)
	}
	if len(cfg.References) > 0 && deps.Finder == nil {
		return nil, fmt.Errorf("outbound table %s: references need a finder", table.LogicalName)
	}
	if cfg.ClaimCheck && deps.Payloads == nil {
		return nil, fmt.Errorf("outbound table %s: a claim check needs payloads", table.LogicalName)
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Meter == nil {
		deps.Meter = metricnoop.Meter{}
	}
	if deps.Tracer == nil {
		deps.Tracer = tracenoop.Tracer{}
	}
	m, err := newMeasures(deps.Meter, table.LogicalName)
	if err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: cfg, table: table.LogicalName, source: source, log: log, encoder: encoder,
		logger: deps.Logger.With("table", table.LogicalName), tracer: deps.Tracer, measures: m,
		finder: deps.Finder, payloads: deps.Payloads, jitter: newJitter(deps.Rand), observe: deps.Observe, pacer: deps.Pacer, retention: deps.Retention, maxBatch: cfg.MaxBatch,
		spanTable:   trace.WithAttributes(attribute.String(telemetry.AttrTable, table.LogicalName)),
		subject:     cfg.Names.Checkpoint(table.LogicalName),
		fingerprint: fingerprint(cfg.Query, cfg.Settings, &cfg.Payload),
		shaper:      NewShaper(table, &cfg.Payload),
		logical:     map[string]string{},
		rhythm:      newRhythm(cfg.PollInterval, cfg.PollMax, cfg.Phase),
		board:       newBoard(table.LogicalName),
		poke:        make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
	for i := range table.Columns {
		if c := &table.Columns[i]; c.ReadName() != c.LogicalName {
			w.logical[c.ReadName()] = c.LogicalName
		}
	}
	for _, name := range table.KeyColumns() {
		if c := table.Column(name); c != nil {
			name = c.ReadName()
		}
		w.keyMembers = append(w.keyMembers, name)
	}
	return w, nil
}

// Run follows the table until ctx ends, then returns nil once nothing is in
// flight. A table that needs a person stays in Run, halted, until Resume. It
// fails only when the worker is running already or cannot be measured.
func (w *Worker) Run(ctx context.Context) error {
	if !w.running.CompareAndSwap(false, true) {
		return fmt.Errorf("the worker of table %s is running already", w.table)
	}
	defer w.running.Store(false)
	conceal, err := w.measures.expose(w.Status)
	if err != nil {
		return err
	}
	defer conceal()
	for {
		work, cancel, err := w.admit(ctx)
		if err != nil {
			return nil
		}
		err = w.follow(work)
		cancel()
		w.session = nil
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errPaused) {
			w.logger.Info("outbound: table is paused, as its checkpoint says; resume the table to go on", "state", StatePaused)
		}
		if stop := (*haltError)(nil); errors.As(err, &stop) {
			w.halt(stop)
		}
	}
}

// admit waits until the table is neither paused nor halted.
func (w *Worker) admit(ctx context.Context) (context.Context, context.CancelFunc, error) {
	look := time.NewTicker(pausedEvery)
	defer look.Stop()
	for {
		work, cancel := context.WithCancel(ctx)
		free, store := false, false
		w.board.update(func(b *board) {
			if free = !b.paused && !b.halted && !b.elsewhere; free {
				w.stop = cancel
				b.s.Detail = ""
			}
			store = b.paused
		})
		if free {
			return work, cancel, nil
		}
		cancel()
		if store {
			w.storePause(ctx)
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-w.wake:
		case <-look.C:
			w.lifted(ctx)
		}
	}
}

// halt shows that the table needs a person.
func (w *Worker) halt(stop *haltError) {
	w.logger.Error("outbound: table halted", "reason", stop.reason, "error", stop.err)
	w.board.update(func(b *board) {
		b.halted = true
		b.s.Detail = stop.Error()
	})
}

// Poke makes the next poll happen now. Several pokes before it count as one; it
// neither shortens a wait after a failure nor resumes a table.
func (w *Worker) Poke() { signal(w.poke) }

// Status is a snapshot; it never waits for the work in progress.
func (w *Worker) Status() Status { return w.board.status(time.Now()) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
