package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"cebridge/bridge/internal/jet"
)

// Action is something to do with a table of a running bridge.
type Action string

// The actions. Pause and resume reach every bridge that follows the table; a pause
// outlasts them. A resync is done by one of them, and so is a repair: a resync that
// Operator.Repair asks for.
const (
	ActionPause  Action = "pause"
	ActionResume Action = "resume"
	ActionResync Action = "resync"
	ActionRepair Action = "repair"
)

// controlRequest and controlAnswer are what goes over the wire.
type controlRequest struct {
	// Force lets a resync publish any number of deletes.
	Force bool `json:"force,omitempty"`
	// Renew has a repair begin a new epoch.
	Renew bool `json:"renew,omitempty"`
}

type controlAnswer struct {
	State string `json:"state,omitempty"`
	Error string `json:"error,omitempty"`
}

// startControl takes requests of operators for the running tables, over NATS: who
// may publish on the subjects is a matter of the server's permissions.
func (b *Bridge) startControl(tables []*table) error {
	workers := map[string]*table{}
	for _, t := range tables {
		workers[t.name] = t
	}
	for action, group := range map[Action]string{ActionPause: "", ActionResume: "", ActionResync: "resync", ActionRepair: "resync"} {
		prefix := b.names.Control(string(action), "")
		stop, err := b.conn.Serve(b.names.Control(string(action), "*"), group, func(subject string, data []byte) []byte {
			// An answer of two strings can always be encoded.
			answer, _ := json.Marshal(b.control(workers[strings.TrimPrefix(subject, prefix)], action, data))
			return answer
		})
		if err != nil {
			return fmt.Errorf("control: %w", err)
		}
		b.cleanup.push("control", time.Second, func(context.Context) error { return stop() })
	}
	return nil
}

func (b *Bridge) control(t *table, action Action, data []byte) controlAnswer {
	var req controlRequest
	if t == nil {
		return controlAnswer{Error: "this bridge does not follow that table"}
	}
	if err := json.Unmarshal(data, &req); len(data) > 0 && err != nil {
		return controlAnswer{Error: "the request is not valid JSON"}
	}
	switch action {
	case ActionPause:
		t.worker.Pause()
	case ActionResume:
		t.worker.Resume()
	case ActionResync:
		t.worker.Resync(req.Force)
	case ActionRepair:
		t.worker.Repair(req.Renew)
	}
	b.log.Info("a person asked", "action", action, "table", t.name, "force", req.Force, "renew", req.Renew)
	return controlAnswer{State: string(t.worker.Status().State)}
}

// ErrNoBridge is returned when no running bridge follows the table, or has the route.
var ErrNoBridge = errors.New("no running bridge has it")

// Control asks the running bridges to do something with a table and returns the
// table's state right after. Force lets a resync publish any number of deletes.
func (o *Operator) Control(ctx context.Context, action Action, table string, force bool) (state string, err error) {
	return o.control(ctx, action, table, controlRequest{Force: force})
}

func (o *Operator) control(ctx context.Context, action Action, table string, req controlRequest) (state string, err error) {
	if _, err := o.tables([]string{table}); err != nil {
		return "", fmt.Errorf("%s: %w", action, err)
	}
	data, err := json.Marshal(req)
	if err != nil {
		return "", err
	}
	raw, err := o.b.conn.Ask(ctx, o.b.names.Control(string(action), table), data)
	if errors.Is(err, jet.ErrNobody) {
		return "", fmt.Errorf("%s table %s: %w: start one with `cebridge run`", action, table, ErrNoBridge)
	}
	if err != nil {
		return "", fmt.Errorf("%s table %s: %w", action, table, err)
	}
	var answer controlAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return "", fmt.Errorf("%s table %s: the answer is not a bridge's: %w", action, table, err)
	}
	if answer.Error != "" {
		return "", fmt.Errorf("%s table %s: %s", action, table, answer.Error)
	}
	return answer.State, nil
}
