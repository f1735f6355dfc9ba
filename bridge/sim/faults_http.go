package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxFaultsFile bounds a file or a request body of rules, in bytes.
const maxFaultsFile = 1 << 20

// LoadFaults reads rules from YAML or JSON: a mapping with the one field faults, a
// list of rules under the names of Rule's tags. Unknown fields and rules without
// a meaning are refused, with line and column where the file has them.
func LoadFaults(data []byte) ([]Rule, error) {
	var doc struct {
		Faults []Rule `yaml:"faults"`
	}
	if _, err := decodeYAML(data, maxFaultsFile, &doc); err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	var errs []error
	for i, rule := range doc.Faults {
		if err := rule.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("faults[%d]: %w", i, err))
		}
	}
	if len(doc.Faults) > maxFaultRules {
		errs = append(errs, fmt.Errorf("faults: %d rules, more than the %d allowed", len(doc.Faults), maxFaultRules))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return doc.Faults, nil
}

// MarshalJSON writes the delay as a text, as files have it.
func (r Rule) MarshalJSON() ([]byte, error) {
	type plain Rule
	shown := struct {
		plain
		Delay string `json:"delay,omitempty"`
	}{plain: plain(r)}
	if r.Delay != 0 {
		shown.Delay = r.Delay.String()
	}
	return json.Marshal(shown)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Rule) UnmarshalJSON(data []byte) error {
	type plain Rule
	shown := struct {
		*plain
		Delay string `json:"delay"`
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(data, &shown); err != nil {
		return fmt.Errorf("fault rule: %w", err)
	}
	r.Delay = 0
	if shown.Delay == "" {
		return nil
	}
	d, err := time.ParseDuration(shown.Delay)
	if err != nil {
		return fmt.Errorf("fault rule: %w", err)
	}
	r.Delay = d
	return nil
}

// ruleState is one rule as the control interface shows it.
type ruleState struct {
	ID    int  `json:"id"`
	Rule  Rule `json:"rule"`
	Seen  int  `json:"seen"`
	Fired int  `json:"fired"`
}

// serveHTTP is the control interface of the faults.
//
//	GET             {"counts":{kind:n},"rules":[{"id","rule","seen","fired"}]}
//	POST rules      a rule as one JSON object, or a mapping with faults: [...];
//	                201 {"ids":[...]}
//	DELETE          ends all rules; with ?id=N one of them (404 if there is none)
func (f *Faults) serveHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		writeControl(w, http.StatusOK, map[string]any{"counts": f.Counts(), "rules": f.states()})
	case http.MethodPost:
		rules, err := readRules(http.MaxBytesReader(w, r.Body, maxFaultsFile))
		if err != nil {
			writeControl(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		ids := []int{}
		for _, rule := range rules {
			id, err := f.AddRule(rule)
			if err != nil {
				writeControl(w, http.StatusConflict, map[string]any{"error": err.Error(), "ids": ids})
				return
			}
			ids = append(ids, id)
		}
		writeControl(w, http.StatusCreated, map[string]any{"ids": ids})
	case http.MethodDelete:
		if text := r.URL.Query().Get("id"); text != "" {
			if id, err := strconv.Atoi(text); err != nil || !f.Remove(id) {
				writeControl(w, http.StatusNotFound, map[string]string{"error": "no such rule"})
				return
			}
		} else {
			f.Clear()
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// readRules reads one rule or a file of rules.
func readRules(body io.Reader) ([]Rule, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	var one Rule
	if _, err := decodeYAML(data, maxFaultsFile, &one); err == nil {
		return []Rule{one}, one.Validate()
	}
	return LoadFaults(data)
}

// states lists the rules in force.
func (f *Faults) states() []ruleState {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]ruleState, 0, len(f.rules))
	for _, r := range f.rules {
		list = append(list, ruleState{ID: r.id, Rule: r.Rule, Seen: r.seen, Fired: r.fired})
	}
	return list
}

func writeControl(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
