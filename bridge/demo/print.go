package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/inbound"
)

// printer writes one readable line per event, from several goroutines.
type printer struct {
	mu     sync.Mutex
	out    io.Writer
	counts map[string]int
}

func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *printer) count(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[what]++
}

func (p *printer) counted(what string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[what]
}

// outbound prints an event as it stands on the stream.
func (p *printer) outbound(m jetstream.Msg) {
	var e struct {
		Type, Subject, ChangedColumns string
		Data                          struct {
			Record   map[string]any
			Previous map[string]any
		}
	}
	if err := json.Unmarshal(m.Data(), &e); err != nil {
		p.line("CRM -> NATS  %s: not readable: %v", m.Subject(), err)
		return
	}
	change := e.Type[strings.LastIndexByte(e.Type, '.')+1:]
	p.count(change)
	what := e.Data.Record
	if what == nil {
		what = e.Data.Previous
	}
	detail := ""
	if e.ChangedColumns != "" {
		detail = "  changed: " + e.ChangedColumns
	}
	p.line("CRM -> NATS  %-8s %s  %s%s", change, m.Subject(), label(what), detail)
}

// label is a short text by which a person recognises the record.
func label(record map[string]any) string {
	var parts []string
	for _, col := range []string{"accountnumber", "name", "emailaddress1"} {
		if s, ok := record[col].(string); ok {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " ")
}

// inbound prints what became of a message, with the exact request.
func (p *printer) inbound(route string, s inbound.Settled) {
	p.count("inbound " + s.Outcome)
	head := fmt.Sprintf("NATS -> CRM  %-8s %s #%d", s.Outcome, s.Message.Subject, s.Message.Sequence)
	if s.Write != nil {
		head += fmt.Sprintf("\n             PATCH %s\n             %s", s.Write.Path(), s.Write.Body)
	}
	if s.Err != nil {
		head += fmt.Sprintf("\n             dead letter: %s: %s", s.Err.Reason, s.Err.Message)
	} else if s.Result.Requests > 0 {
		head += fmt.Sprintf("\n             %s in %d request", s.Result.Effect, s.Result.Requests)
	}
	p.line("%s", head)
}
