package sim

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Stats is what GET /sim/stats answers.
type Stats struct {
	// Requests are counted as in Requests.
	Requests RequestCounts `json:"requests"`
	// Rows is the number of records by table.
	Rows map[string]int `json:"rows"`
	// Version is the last row version.
	Version int64 `json:"version"`
	// LogFirst and LogNext are the sequences of the oldest kept entry of the write
	// log and of the next one.
	LogFirst int64 `json:"logFirst"`
	LogNext  int64 `json:"logNext"`
	// Faults counts the scripted faults that happened, by kind.
	Faults map[string]int `json:"faults"`
	// Throttled counts the requests refused by Options.Limits, by facet.
	Throttled map[string]int `json:"throttled"`
	// Webhooks counts webhook calls.
	Webhooks WebhookStats `json:"webhooks"`
}

// Stats is a moment's view of the server.
func (s *Server) Stats() Stats {
	st := Stats{Requests: s.Requests(), Rows: map[string]int{}, Faults: s.faults.Counts(), Throttled: s.Throttled(), Webhooks: s.Webhooks()}
	s.mu.RLock()
	defer s.mu.RUnlock()
	st.Version, st.LogFirst, st.LogNext = s.version, s.log.first, s.log.next()
	for _, t := range s.tables() {
		st.Rows[t.def.Load().LogicalName] = len(t.rows)
	}
	return st
}

// control serves the simulator's own API:
//
//	GET    /sim/log?from=N   the write log from sequence N on, a JSON object a line
//	GET    /sim/stats        counters
//	DELETE /sim/stats        sets the request counts to zero
//	any    /sim/faults       the scripted faults
//
// and what controlTables adds.
func (s *Server) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sim/log", s.serveLog)
	mux.HandleFunc("GET /sim/stats", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(marshal(s.Stats()), '\n'))
	})
	mux.HandleFunc("DELETE /sim/stats", func(w http.ResponseWriter, _ *http.Request) {
		s.ResetRequests()
		w.WriteHeader(http.StatusNoContent)
	})
	s.controlTables(mux)
	mux.HandleFunc("/sim/auth", s.serveAuth)
	mux.HandleFunc("/sim/auth/", s.serveAuth)
	mux.HandleFunc("/sim/faults", s.faults.serveHTTP)
	mux.HandleFunc("/sim/faults/", s.faults.serveHTTP)
	return mux
}

func (s *Server) serveLog(w http.ResponseWriter, r *http.Request) {
	from := int64(1)
	if text := r.URL.Query().Get("from"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			http.Error(w, "from: "+err.Error(), http.StatusBadRequest)
			return
		}
		from = n
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	for {
		entries := s.logRange(from, 10_000)
		for i := range entries {
			if enc.Encode(&entries[i]) != nil {
				return // the reader went away
			}
		}
		if len(entries) == 0 {
			return
		}
		from = entries[len(entries)-1].Seq + 1
	}
}
