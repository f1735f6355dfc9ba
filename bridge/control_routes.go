package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cebridge/bridge/internal/jet"
)

// controlRoutes is the action of the subjects on which routes are resumed: a table and a
// route may have one name.
const controlRoutes = "resume-route"

// startRouteControl takes requests of operators for the running routes. Every bridge that
// has the route is asked, since any of them may be the one whose route stopped.
func (b *Bridge) startRouteControl(routes []*route) error {
	if len(routes) == 0 {
		return nil
	}
	prefix := b.names.Control(controlRoutes, "")
	stop, err := b.conn.Serve(b.names.Control(controlRoutes, "*"), "", func(subject string, _ []byte) []byte {
		// An answer of two strings can always be encoded.
		answer, _ := json.Marshal(b.resumeRoute(routes, strings.TrimPrefix(subject, prefix)))
		return answer
	})
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	b.cleanup.push("control of routes", time.Second, func(context.Context) error { return stop() })
	return nil
}

func (b *Bridge) resumeRoute(routes []*route, name string) controlAnswer {
	i := slices.IndexFunc(routes, func(r *route) bool { return r.name == name })
	if i < 0 {
		return controlAnswer{Error: "this bridge has no such route"}
	}
	before := routes[i].route.Status().State
	forgot := 0
	for _, c := range b.cfg.Inbound.Routes {
		if c.Name == name && c.Mapping != nil {
			// A person who resumes accepts the records that the keys mean now.
			forgot = b.client.ForgetKeys(c.Mapping.Writes)
		}
	}
	routes[i].route.Resume()
	b.log.Info("a person asked", "action", ActionResume, "route", name, "keys_forgotten", forgot)
	return controlAnswer{State: string(before)}
}

// ResumeRoute asks the running bridges to let a stopped route go on, with the messages it
// had not acknowledged. It also makes them forget which records the keys of its tables
// meant, so that a key that was given to another record is accepted (outcome.KeyReused);
// for that it may be asked of a route that runs. It returns the state that the route had in one of them.
func (o *Operator) ResumeRoute(ctx context.Context, name string) (was string, err error) {
	if !slices.ContainsFunc(o.b.cfg.Inbound.Routes, func(c RouteConfig) bool { return c.Name == name }) {
		return "", fmt.Errorf("resume: the configuration has no route %s", name)
	}
	raw, err := o.b.conn.Ask(ctx, o.b.names.Control(controlRoutes, name), nil)
	if errors.Is(err, jet.ErrNobody) {
		return "", fmt.Errorf("resume route %s: %w: start one with `cebridge run`", name, ErrNoBridge)
	}
	if err != nil {
		return "", fmt.Errorf("resume route %s: %w", name, err)
	}
	var answer controlAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return "", fmt.Errorf("resume route %s: the answer is not a bridge's: %w", name, err)
	}
	if answer.Error != "" {
		return "", fmt.Errorf("resume route %s: %s", name, answer.Error)
	}
	return answer.State, nil
}
