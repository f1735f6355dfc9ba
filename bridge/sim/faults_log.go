package sim

import "net/http"

// noteFault puts a fault into the write log.
func (s *Server) noteFault(kind FaultKind, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.add(logRecord{
		at: s.opts.Now().UnixNano(), kind: KindFault, operation: string(kind), request: r.Header.Get(clientRequestHeader),
	})
}
