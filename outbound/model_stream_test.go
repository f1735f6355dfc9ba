package outbound

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// streamModel is a stream with atomic, fenced batches and a replica that lags.
type streamModel struct {
	mu   sync.Mutex
	msgs []Stored // all of history: nothing is ever forgotten
	last map[string]int
	// batches is the length of the history after every batch.
	batches []int

	// fault, when set, decides what happens to a call; see the fault constants.
	fault func(op string) streamFault
	lag   func() time.Duration
	// late are batches that a writer gave up on and that may arrive later.
	late sync.WaitGroup

	commits, reads int
	// maxBatch and maxMessage bound a batch and a message; 0 is MaxBatch, and no bound.
	maxBatch, maxMessage int
	// before, when set, runs ahead of every call.
	before func(op string)
}

type streamFault struct {
	err error
	// stored: the batch is stored all the same (with err ErrUnknown).
	stored bool
	// after: the batch arrives so much later, while err is reported at once.
	after time.Duration
	// behind is by how many batches a replica lags.
	behind int
	// follows: a scan begins at a replica that lags and goes on as it catches up.
	follows bool
}

func newStream() *streamModel { return &streamModel{last: map[string]int{}} }

func (m *streamModel) set(fault func(string) streamFault, lag func() time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault, m.lag = fault, lag
}

func (m *streamModel) begin(op string) (f streamFault, lag time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.before != nil {
		m.before(op)
	}
	if m.fault != nil {
		f = m.fault(op)
	}
	if m.lag != nil {
		lag = m.lag()
	}
	return f, lag
}

// Checkpoint implements Log.
func (m *streamModel) Checkpoint(ctx context.Context, subject string) ([]byte, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	f, lag := m.begin("checkpoint")
	if f.err != nil {
		return nil, 0, f.err
	}
	if err := sleep(ctx, lag); err != nil {
		return nil, 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if prefix, ok := strings.CutSuffix(subject, "*"); ok {
		for i := len(m.msgs) - 1; i >= 0; i-- {
			if strings.HasPrefix(m.msgs[i].Subject, prefix) {
				return m.msgs[i].Data, m.msgs[i].Sequence, nil
			}
		}
		return nil, 0, nil
	}
	i, ok := m.last[subject]
	if !ok {
		return nil, 0, nil
	}
	return m.msgs[i].Data, m.msgs[i].Sequence, nil
}

// Last implements Log. A lagging replica calls fn with what it has and then
// finds the fence missing.
func (m *streamModel) Last(ctx context.Context, fenceSubject string, fence uint64, subjects []string, fn func(Stored) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, lag := m.begin("last")
	if f.err != nil {
		return f.err
	}
	if err := sleep(ctx, lag); err != nil {
		return err
	}
	m.mu.Lock()
	m.reads++
	at := m.last
	if f.behind > 0 {
		view := 0
		if n := len(m.batches) - f.behind; n > 0 {
			view = m.batches[n-1]
		}
		at = map[string]int{}
		for i := range m.msgs[:view] {
			at[m.msgs[i].Subject] = i
		}
	}
	var answer []Stored
	for _, s := range subjects {
		if i, ok := at[s]; ok {
			answer = append(answer, m.msgs[i])
		}
	}
	var shown uint64
	if i, ok := at[fenceSubject]; ok {
		shown = m.msgs[i].Sequence
	}
	m.mu.Unlock()
	for _, a := range answer {
		if err := fn(a); err != nil {
			return err
		}
	}
	switch {
	case shown < fence:
		return ErrStale
	case shown > fence:
		return ErrFenced
	}
	return nil
}

// Scan implements Scanner.
func (m *streamModel) Scan(ctx context.Context, filter, fenceSubject string, fence uint64, fn func(Stored) error) error {
	f, lag := m.begin("scan")
	if f.err != nil {
		return f.err
	}
	if err := sleep(ctx, lag); err != nil {
		return err
	}
	m.mu.Lock()
	var shown uint64
	if i, ok := m.last[fenceSubject]; ok {
		shown = m.msgs[i].Sequence
	}
	view, lasts := len(m.msgs), map[string]int{}
	if f.follows {
		view = 0 // where the replica had not even this much
		if n := len(m.batches) - f.behind; n > 0 {
			view = m.batches[n-1]
		}
	}
	for i := range m.msgs[:view] {
		lasts[m.msgs[i].Subject] = i
	}
	var answer []Stored
	prefix := strings.TrimSuffix(filter, "*")
	for i, msg := range m.msgs {
		// The last messages as the replica had them, then all that it gets.
		if strings.HasPrefix(msg.Subject, prefix) && (i >= view || lasts[msg.Subject] == i) {
			answer = append(answer, Stored{msg.Subject, msg.Sequence, msg.Header, nil})
		}
	}
	m.mu.Unlock()
	if shown < fence {
		return ErrStale
	}
	for i, a := range answer {
		if f.behind > 0 && !f.follows && i == len(answer)/2 {
			return ErrStale
		}
		if err := fn(a); err != nil {
			return err
		}
	}
	return nil
}

// Commit implements Log.
func (m *streamModel) Commit(ctx context.Context, b Batch) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	f, lag := m.begin("commit")
	if f.after > 0 {
		m.late.Go(func() {
			time.Sleep(f.after) // virtual time
			_, _ = m.store(b)
		})
		return 0, f.err
	}
	if err := sleep(ctx, lag); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if f.err != nil && !f.stored {
		return 0, f.err
	}
	seq, err := m.store(b)
	if f.err != nil {
		return 0, f.err
	}
	return seq, err
}

// stores counts the batches that were tried.
func (m *streamModel) stores() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commits
}

func (m *streamModel) store(b Batch) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commits++
	if len(b.Messages)+1 > MaxBatch {
		return 0, ErrTooLarge
	}
	subjects := map[string]bool{b.Checkpoint.Subject: true}
	for _, msg := range b.Messages {
		if subjects[msg.Subject] {
			return 0, fmt.Errorf("subject %s twice in a batch", msg.Subject)
		}
		subjects[msg.Subject] = true
		if m.maxMessage > 0 && len(msg.Data) >= m.maxMessage {
			return 0, fmt.Errorf("%w: %s", ErrTooLarge, msg.Subject)
		}
	}
	if m.maxBatch > 0 && len(b.Messages)+1 > m.maxBatch {
		return 0, ErrBatchTooLong
	}
	var have uint64
	if i, ok := m.last[b.Checkpoint.Subject]; ok {
		have = m.msgs[i].Sequence
	}
	if have != b.Expected {
		return 0, ErrFenced
	}
	for _, msg := range append(append([]Message{}, b.Messages...), b.Checkpoint) {
		seq := uint64(len(m.msgs) + 1)
		m.last[msg.Subject] = len(m.msgs)
		m.msgs = append(m.msgs, Stored{msg.Subject, seq, msg.Header, msg.Data})
	}
	m.batches = append(m.batches, len(m.msgs))
	return uint64(len(m.msgs)), nil
}

// snapshot copies the history.
func (m *streamModel) snapshot() []Stored {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Stored{}, m.msgs...)
}

// batchEnds copies the lengths of the history after every batch.
func (m *streamModel) batchEnds() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]int{}, m.batches...)
}
