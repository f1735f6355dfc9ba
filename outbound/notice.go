package outbound

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/schema/event"
)

// The notices. Each is the end of an event type.
const (
	noticeStarted  = "resync.started"
	noticeFinished = "resync.finished"
	noticeHalted   = "resync.halted"
)

// notice makes a message about a resync for the table's notice subject: a
// structured CloudEvent of type <type prefix>.<table>.<kind>. Its data holds reason,
// epoch and began besides the given members, and no record's data.
func (w *Worker) notice(kind string, c *Checkpoint, data map[string]any) (Message, error) {
	now := time.Now().UTC()
	e := cloudevent.New(cloudevent.CloudEventsVersionV1)
	id := w.table + "/" + kind + "/" + strconv.FormatInt(c.Resync.Began.UnixNano(), 10)
	if kind == noticeHalted {
		id += "/" + strconv.FormatInt(now.UnixNano(), 10)
	}
	e.SetID(id)
	e.SetSource(w.cfg.Settings.Source)
	e.SetType(w.cfg.Settings.TypePrefix + "." + w.table + "." + kind)
	e.SetSubject(w.table)
	e.SetTime(now)
	data["reason"], data["epoch"], data["began"] = c.Resync.Reason, c.Epoch, c.Resync.Began.UTC()
	body, err := json.Marshal(data)
	if err == nil {
		err = e.SetData(cloudevent.ApplicationJSON, json.RawMessage(body))
	}
	var m Message
	if err == nil {
		m.Subject = w.cfg.Names.Notice(w.table)
		m.Header, m.Data, err = event.Marshal(&e, event.Structured)
	}
	if err != nil {
		return Message{}, fmt.Errorf("notice %s of table %s: %w", kind, w.table, err)
	}
	return m, nil
}
