package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"cebridge/outbound"
	"cebridge/schema/event"
)

// repairLook is how often a repair looks whether the bridge is done.
const repairLook = 250 * time.Millisecond

// Repair has the running bridge mend the tables of c that differ, waits until it is
// done, and compares these tables again. The bridge publishes by its own rules and
// fence, so a repair cannot rival it: it reads the table again (reason repair) and
// publishes what differs, deletes confirmed and bounded by max_deletes. Where the
// stream shows another content, or a delete, under the version that a record has, the
// table begins a new epoch: an event of that version is there already, and there can be
// no second one. Waiting ends with ctx; the bridge goes on.
func (o *Operator) Repair(ctx context.Context, c *Comparison, opt CompareOptions) (*Comparison, error) {
	opt.Tables = nil
	for i := range c.Tables {
		t := &c.Tables[i]
		if t.Missing+t.Extra+t.Different == 0 {
			continue
		}
		if err := o.repair(ctx, t, opt.Progress); err != nil {
			return nil, fmt.Errorf("repair: %w", err)
		}
		opt.Tables = append(opt.Tables, t.Table)
	}
	if len(opt.Tables) == 0 {
		return &Comparison{Org: c.Org, Stream: c.Stream, Began: time.Now().UTC(), Tables: []TableComparison{}}, nil
	}
	return o.Compare(ctx, opt)
}

// repair mends one table.
func (o *Operator) repair(ctx context.Context, t *TableComparison, progress func(Progress)) error {
	before, err := o.newestNotice(ctx, t.Table)
	if err != nil {
		return err
	}
	state, err := o.control(ctx, ActionRepair, t.Table, controlRequest{Renew: t.spent()})
	if err != nil {
		return err
	}
	if state == string(outbound.StatePaused) {
		return fmt.Errorf("table %s is paused: the bridge repairs it once it is resumed; compare again afterwards", t.Table)
	}
	look := time.NewTicker(repairLook)
	defer look.Stop()
	for began := time.Now(); ; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the bridge was asked to repair table %s and has not said that it is done (see `cebridge status`): %w", t.Table, ctx.Err())
		case <-look.C:
		}
		if progress != nil {
			progress(Progress{What: "seconds that the bridge repairs table " + t.Table, Done: int64(time.Since(began).Seconds())})
		}
		n, err := o.newestNotice(ctx, t.Table)
		switch {
		case err != nil:
			return err
		case n.sequence <= before.sequence || n.reason != outbound.ResyncRepair:
		case n.halted:
			return fmt.Errorf("table %s is halted: the repair would publish more deletes than max_deletes allows; see `cebridge status`", t.Table)
		case n.finished:
			return nil
		}
	}
}

// spent tells whether a record has a version whose events are on the stream and do
// not show it. What was too many to look at may be so too.
func (t *TableComparison) spent() bool {
	for i := range t.Differences {
		if d := &t.Differences[i]; d.Kind != kindExtra && d.PublishedVersion >= d.Version {
			return true
		}
	}
	return t.Unconfirmed > 0
}

// resyncNotice is what the newest notice of a table says.
type resyncNotice struct {
	sequence         uint64
	reason           string
	finished, halted bool
}

// newestNotice reads it; the zero value where there is none.
func (o *Operator) newestNotice(ctx context.Context, table string) (n resyncNotice, err error) {
	m, _, err := o.b.conn.Newest(ctx, o.b.EventStream(), o.b.names.Notice(table))
	if err != nil || m.Sequence == 0 {
		return n, err
	}
	e, err := event.Unmarshal(m.Header, m.Data)
	if err != nil {
		return n, fmt.Errorf("notice %d of table %s: %w", m.Sequence, table, err)
	}
	var data struct{ Reason *string }
	if err := json.Unmarshal(e.Data(), &data); err != nil || data.Reason == nil {
		return n, errors.Join(fmt.Errorf("notice %d of table %s does not tell its reason", m.Sequence, table), err)
	}
	return resyncNotice{sequence: m.Sequence, reason: *data.Reason,
		finished: strings.HasSuffix(e.Type(), ".resync.finished"), halted: strings.HasSuffix(e.Type(), ".resync.halted")}, nil
}
