package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

const (
	// maxSnapshots and maxHeld bound what the control API keeps for its callers.
	maxSnapshots = 16
	maxHeld      = 1000
	// maxControlBody bounds a request body of the control API, in bytes.
	maxControlBody = 1 << 20
)

// controlState is what callers of the control API have open.
type controlState struct {
	sync.Mutex
	next      int
	snapshots map[int]*Snapshot
	held      map[int]func() error
}

// tableCommand is the body of a request to /sim/tables/{table}/...
type tableCommand struct {
	Column  string         `json:"column"`
	Key     string         `json:"key"`
	ID      string         `json:"id"`
	Columns map[string]any `json:"columns"`
	Granted bool           `json:"granted"`
}

// controlTables adds what changes the data from outside of the Web API:
//
//	POST   /sim/tables/{table}/drop-column    {"column"}
//	POST   /sim/tables/{table}/secure-column  {"column"}; {"column","granted":true} gives it back
//	POST   /sim/tables/{table}/fail-key       {"key"}
//	POST   /sim/tables/{table}/activate-key   {"key"}
//	POST   /sim/tables/{table}/expire-tokens
//	POST   /sim/tables/{table}/faults         a rule (as for /sim/faults) for this table
//	POST   /sim/tables/{table}/hold           {"id","columns"}: 201 {"transaction":N}
//	POST   /sim/transactions/{N}/commit
//	POST   /sim/snapshots                     201 {"snapshot":N}
//	POST   /sim/snapshots/{N}/restore
//	DELETE /sim/snapshots/{N}
//
// Success is 204 unless noted; 404 an unknown number, 422 what the data does not
// allow, both with {"error"}.
func (s *Server) controlTables(mux *http.ServeMux) {
	command := func(path string, run func(table string, c tableCommand) (any, error)) {
		mux.HandleFunc("POST /sim/tables/{table}/"+path, func(w http.ResponseWriter, r *http.Request) {
			c, err := readCommand(w, r)
			if err != nil {
				writeControl(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
				return
			}
			answer, err := run(r.PathValue("table"), c)
			answerCommand(w, answer, err)
		})
	}
	command("drop-column", func(t string, c tableCommand) (any, error) { return nil, s.DropColumn(t, c.Column) })
	command("secure-column", func(t string, c tableCommand) (any, error) { return nil, s.SecureColumn(t, c.Column, !c.Granted) })
	command("fail-key", func(t string, c tableCommand) (any, error) { return nil, s.FailKey(t, c.Key) })
	command("activate-key", func(t string, c tableCommand) (any, error) { return nil, s.ActivateKey(t, c.Key) })
	command("expire-tokens", func(t string, _ tableCommand) (any, error) { return nil, s.ExpireTokens(t) })
	command("hold", s.controlHold)
	mux.HandleFunc("POST /sim/tables/{table}/faults", s.controlTableFaults)
	mux.HandleFunc("POST /sim/transactions/{number}/commit", func(w http.ResponseWriter, r *http.Request) {
		commit, ok := takeOpen(s, &s.open.held, r.PathValue("number"))
		if !ok {
			writeControl(w, http.StatusNotFound, map[string]string{"error": "no such transaction"})
			return
		}
		answerCommand(w, nil, commit())
	})
	mux.HandleFunc("POST /sim/snapshots", func(w http.ResponseWriter, _ *http.Request) {
		n, ok := addOpen(s, &s.open.snapshots, s.Snapshot(), maxSnapshots)
		if !ok {
			answerCommand(w, nil, fmt.Errorf("%d snapshots are kept already: delete one", maxSnapshots))
			return
		}
		answerCommand(w, map[string]int{"snapshot": n}, nil)
	})
	mux.HandleFunc("POST /sim/snapshots/{number}/restore", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("number"))
		s.open.Lock()
		b := s.open.snapshots[n]
		s.open.Unlock()
		if b == nil {
			writeControl(w, http.StatusNotFound, map[string]string{"error": "no such snapshot"})
			return
		}
		answerCommand(w, nil, s.Restore(b))
	})
	mux.HandleFunc("DELETE /sim/snapshots/{number}", func(w http.ResponseWriter, r *http.Request) {
		if _, ok := takeOpen(s, &s.open.snapshots, r.PathValue("number")); !ok {
			writeControl(w, http.StatusNotFound, map[string]string{"error": "no such snapshot"})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// readCommand reads a JSON object; no body is an empty one.
func readCommand(w http.ResponseWriter, r *http.Request) (c tableCommand, err error) {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("body: %w", err)
	}
	return c, nil
}

func answerCommand(w http.ResponseWriter, answer any, err error) {
	switch {
	case err != nil:
		writeControl(w, http.StatusUnprocessableEntity, map[string]string{"error": err.Error()})
	case answer != nil:
		writeControl(w, http.StatusCreated, answer)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) controlHold(table string, c tableCommand) (any, error) {
	commit, err := s.LateUpdate(table, c.ID, c.Columns)
	if err != nil {
		return nil, err
	}
	n, ok := addOpen(s, &s.open.held, commit, maxHeld)
	if !ok {
		return nil, fmt.Errorf("%d transactions are open already: commit one", maxHeld)
	}
	return map[string]int{"transaction": n}, nil
}

func (s *Server) controlTableFaults(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("table")
	if _, err := s.table(name); err != nil {
		answerCommand(w, nil, err)
		return
	}
	rules, err := readRules(http.MaxBytesReader(w, r.Body, maxFaultsFile))
	if err != nil {
		writeControl(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	ids := []int{}
	for _, rule := range rules {
		rule.Table = name
		id := s.faults.Add(rule)
		if id == 0 {
			answerCommand(w, nil, fmt.Errorf("more than %d rules", maxFaultRules))
			return
		}
		ids = append(ids, id)
	}
	answerCommand(w, map[string]any{"ids": ids}, nil)
}

// addOpen keeps v under a new number; false when limit is reached.
func addOpen[V any](s *Server, in *map[int]V, v V, limit int) (int, bool) {
	s.open.Lock()
	defer s.open.Unlock()
	if len(*in) >= limit {
		return 0, false
	}
	if *in == nil {
		*in = map[int]V{}
	}
	s.open.next++
	(*in)[s.open.next] = v
	return s.open.next, true
}

// takeOpen removes what has that number.
func takeOpen[V any](s *Server, in *map[int]V, number string) (V, bool) {
	s.open.Lock()
	defer s.open.Unlock()
	n, _ := strconv.Atoi(number)
	v, ok := (*in)[n]
	delete(*in, n)
	return v, ok
}
