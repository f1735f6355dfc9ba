package sim

import (
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Kinds of faults that happen to a write or a read inside of the application,
// where a batch, a change set and a Multiple message meet them too. They fire for
// requests, never for the methods of Server, and go into the write log with the
// table. A rule of these kinds matches by Method, Table, Probability, After and
// Times; PathContains has no meaning for it.
const (
	// FaultDuplicateRace makes an upsert that would create its record lose the race
	// against another sender of the same message: the rival's record, equal to what
	// the request would have written, is committed, and the request is answered 412.
	// Code selects the answer: 0x80060892, 0x80040237, or "none" for the empty code;
	// "" draws one of the three. Source: live reports of all three; that the rival
	// wrote the same columns is an assumption.
	FaultDuplicateRace FaultKind = "duplicate_race"
	// FaultPluginAbort refuses a write as a synchronous plug-in does: 400 0x80040265
	// with Message. Nothing is written. Source: developer guide, "Handle exceptions
	// in plug-ins" and the status table of "Compose HTTP requests and handle errors".
	FaultPluginAbort FaultKind = "plugin_abort"
	// FaultRevokedPrivilege refuses reads, writes or both (Method) of a table: 403
	// 0x80040220. Source: the same status table; the text is an assumption.
	FaultRevokedPrivilege FaultKind = "revoked_privilege"
	// FaultHeldTransaction keeps the transaction of an update or a keyed upsert of an
	// existing record open for Delay: its row version is taken at once and becomes
	// visible, and the request is answered, only afterwards. Whether change tracking
	// of a real server can see that happen is an open question.
	FaultHeldTransaction FaultKind = "held_transaction"
	// FaultSkippedRow leaves the last row of a tracked page out that is not the last
	// one, as if it had moved behind the reader's back: no later page has it, and the
	// round's token leaves it behind. Whether pages of a real server move like that is
	// an open question (an issue of the developer guide asks it).
	FaultSkippedRow FaultKind = "skipped_row"
)

// dataFaultKinds are the kinds that pickData handles.
func dataFaultKinds() []FaultKind {
	return []FaultKind{FaultDuplicateRace, FaultPluginAbort, FaultRevokedPrivilege, FaultHeldTransaction, FaultSkippedRow}
}

const (
	codePluginAbort = "0x80040265" // IsvAborted
	codePrivilege   = "0x80040220" // PrivilegeDenied
	codeSecureWrite = "0x8004F507" // AttributePermissionUpdateIsMissingDuringUpdate
	codeSecureMake  = "0x8004F502" // AttributePrivilegeCreateIsMissing
)

// pickData returns the first rule of that kind that fires for a request with the
// method to the table, and a number drawn for it; false if none does.
func (f *Faults) pickData(kind FaultKind, method, table string) (rule Rule, draw uint64, ok bool) {
	if f == nil {
		return Rule{}, 0, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, rule := range f.rules {
		if rule.Kind != kind || rule.Method != "" && !strings.EqualFold(rule.Method, method) || rule.Table != "" && rule.Table != table {
			continue
		}
		rule.seen++
		if rule.seen <= rule.After || rule.Times > 0 && rule.fired >= rule.Times {
			continue
		}
		if rule.Probability > 0 && rule.Probability < 1 && f.rng.Float64() >= rule.Probability {
			continue
		}
		rule.fired++
		f.counts[string(kind)]++
		return rule.Rule, f.rng.Uint64(), true
	}
	return Rule{}, 0, false
}

// count notes a fault that no rule made.
func (f *Faults) count(kind FaultKind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[string(kind)]++
}

// dataFault notes in the write log what pickData fired for.
func (x *tx) dataFault(kind FaultKind, t *table, id uuid.UUID) {
	x.log(logRecord{kind: KindFault, operation: string(kind), table: t, id: id})
}

// abortedWrite is the refusal of a plug-in, if a rule asks for one.
func (x *tx) abortedWrite(q *writeRequest, d *tableDef) *apiError {
	rule, _, ok := x.s.faults.pickData(FaultPluginAbort, q.method, d.LogicalName)
	if !ok {
		return nil
	}
	x.dataFault(FaultPluginAbort, q.table, attemptID(q))
	e := &apiError{Status: http.StatusBadRequest, Code: codePluginAbort, Message: "The business process of the organization refused the record."}
	if rule.Message != "" {
		e.Message = rule.Message
	}
	if rule.Code != "" {
		e.Code = rule.Code
	}
	if rule.Status != 0 {
		e.Status = rule.Status
	}
	return e
}

// lostRace is the refusal of an upsert whose record, made by a rival meanwhile, is
// now there. A change set takes the rival's record back with its own writes: the
// rival is another sender only where the request is a transaction of its own.
func (x *tx) lostRace(q *writeRequest, d *tableDef) *apiError {
	if q.key == nil || q.method != http.MethodPatch || q.ifMatch != "" || x.set {
		return nil
	}
	rule, draw, ok := x.s.faults.pickData(FaultDuplicateRace, q.method, d.LogicalName)
	if !ok {
		return nil
	}
	rival, e := x.create(q, d)
	if e != nil {
		return e // what is wrong with the request is wrong with its twin
	}
	x.dataFault(FaultDuplicateRace, q.table, rival.id)
	return raceAnswer(rule, draw, q, d, rival)
}

// raceAnswer is one of the three answers seen to the loser of a race.
func raceAnswer(rule Rule, draw uint64, q *writeRequest, d *tableDef, rival *row) *apiError {
	code := rule.Code
	if code == "" {
		code = []string{codeDuplicateKey, codeDuplicateRecord, "none"}[draw%3]
	}
	e := &apiError{Status: http.StatusPreconditionFailed, Code: code, Message: messageDuplicate}
	switch {
	case code == "none":
		e.Code = ""
	case strings.EqualFold(code, codeDuplicateKey) && !q.key.byID:
		e = duplicateKey(d, q.key.key, rival, rival.unpack(d, nil))
	case strings.EqualFold(code, codeDuplicateRecord):
		e.Message = "Cannot insert duplicate key."
	}
	if rule.Message != "" {
		e.Message = rule.Message
	}
	return e
}

// revoked refuses a request to a table whose privilege was taken away.
func (s *Server) revoked(r *http.Request, t *table, d *tableDef) *apiError {
	rule, _, ok := s.faults.pickData(FaultRevokedPrivilege, r.Method, d.LogicalName)
	if !ok {
		return nil
	}
	_ = s.update(r.Context(), func(x *tx) *apiError {
		x.dataFault(FaultRevokedPrivilege, t, uuid.UUID{})
		return nil
	})
	e := &apiError{Status: http.StatusForbidden, Code: codePrivilege, Message: "Principal user (Id=" + wellKnown.user.String() + ", type=8) is missing " + privilege(r.Method, d.LogicalName) + " privilege."}
	if rule.Code != "" {
		e.Code = rule.Code
	}
	if rule.Message != "" {
		e.Message = rule.Message
	}
	return e
}

// privilege is the name of what a method needs, such as prvReadAccount.
func privilege(method, table string) string {
	right := "Write"
	switch method {
	case http.MethodGet:
		right = "Read"
	case http.MethodPost:
		right = "Create"
	case http.MethodDelete:
		right = "Delete"
	}
	first, n := utf8.DecodeRuneInString(table)
	return "prv" + right + string(unicode.ToUpper(first)) + table[n:]
}

// attemptID is the id that a write names, or none.
func attemptID(q *writeRequest) uuid.UUID {
	if q.key != nil && q.key.byID {
		return q.key.id
	}
	return uuid.UUID{}
}

// isDataFault tells whether pickData handles the kind.
func isDataFault(kind FaultKind) bool { return slices.Contains(dataFaultKinds(), kind) }
