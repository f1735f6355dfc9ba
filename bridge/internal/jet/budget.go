package jet

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/schema"
)

// Used is what all instances together have used of a day's requests. Date is a day
// in UTC: 2026-01-31.
type Used struct {
	Date              string
	Outbound, Inbound int64
}

// BudgetStore keeps the sum of a day's requests in the event stream: one subject, last
// value only, to which every instance adds by compare-and-set. It is used by one
// goroutine.
type BudgetStore struct {
	c       *Conn
	stream  string
	subject string
	// unknown is what was added by an attempt whose answer was lost.
	unknown storedBudget
}

// BudgetStore names the stream. It does no I/O.
func (c *Conn) BudgetStore(stream string, names schema.Names) *BudgetStore {
	return &BudgetStore{c: c, stream: stream, subject: names.Budget()}
}

// storedBudget is the message, in format 1.
type storedBudget struct {
	Format   int    `json:"format"`
	Date     string `json:"date"`
	Outbound int64  `json:"outbound"`
	Inbound  int64  `json:"inbound"`
	// Attempt names the addition that led to it.
	Attempt string `json:"attempt"`
}

const (
	budgetFormat = 1
	// budgetTries bounds how often a rival's addition is taken in.
	budgetTries = 10
)

// Total reads the sum; its date is "" when there is none.
func (s *BudgetStore) Total(ctx context.Context) (Used, error) {
	stored, _, err := s.read(ctx)
	return Used{stored.Date, stored.Outbound, stored.Inbound}, err
}

// Add adds to the sum of a day and returns the new one. A later day begins at zero; a
// stored sum of a later day than added's is left alone and returned. An addition whose
// answer was lost is recognized, so that it may be repeated: added must then hold at
// least as much. If another instance added in the meantime it counts twice, which errs
// on the safe side.
func (s *BudgetStore) Add(ctx context.Context, added Used) (Used, error) {
	for range budgetTries {
		stored, seq, err := s.read(ctx)
		if err != nil {
			return Used{}, err
		}
		if stored.Date > added.Date {
			return Used{stored.Date, stored.Outbound, stored.Inbound}, nil
		}
		if stored.Date < added.Date {
			stored = storedBudget{Date: added.Date}
		}
		more := added
		if s.unknown.Attempt != "" && stored.Attempt == s.unknown.Attempt {
			more.Outbound -= s.unknown.Outbound
			more.Inbound -= s.unknown.Inbound
		}
		if more.Outbound == 0 && more.Inbound == 0 {
			s.unknown = storedBudget{}
			return Used{added.Date, stored.Outbound, stored.Inbound}, nil
		}
		next := storedBudget{
			Format: budgetFormat, Date: added.Date, Attempt: uuid.NewString(),
			Outbound: stored.Outbound + more.Outbound, Inbound: stored.Inbound + more.Inbound,
		}
		data, err := json.Marshal(next)
		if err != nil {
			return Used{}, fmt.Errorf("store the day's requests on %s: %w", s.subject, err)
		}
		_, err = s.c.store(ctx, &nats.Msg{Subject: s.subject, Data: data, Header: nats.Header{
			jetstream.MsgRollup:                 {jetstream.MsgRollupSubject},
			jetstream.ExpectedStreamHeader:      {s.stream},
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(seq, 10)},
		}})
		switch c := code(err); {
		case err == nil:
			s.unknown = storedBudget{}
			return Used{next.Date, next.Outbound, next.Inbound}, nil
		case c == codeWrongLastSequence, c == codeWrongLastConcurrent:
			continue
		}
		s.unknown = storedBudget{Attempt: next.Attempt, Outbound: added.Outbound, Inbound: added.Inbound}
		return Used{}, fmt.Errorf("store the day's requests on %s: %w", s.subject, err)
	}
	return Used{}, fmt.Errorf("store the day's requests on %s: other instances were first %d times", s.subject, budgetTries)
}

func (s *BudgetStore) read(ctx context.Context) (stored storedBudget, seq uint64, err error) {
	m, err := s.c.lastOf(ctx, s.stream, s.subject)
	if err != nil {
		return stored, 0, fmt.Errorf("read the day's requests on %s: %w", s.subject, err)
	}
	if m.Seq == 0 {
		return stored, 0, nil
	}
	if json.Unmarshal(m.Data, &stored) != nil || stored.Format != budgetFormat {
		return storedBudget{}, 0, fmt.Errorf("read the day's requests on %s: sequence %d of stream %s is not in format %d: purge the subject to begin anew",
			s.subject, m.Seq, s.stream, budgetFormat)
	}
	return stored, m.Seq, nil
}
