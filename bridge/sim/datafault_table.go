package sim

import (
	"fmt"
	"net/http"
	"slices"

	"cebridge/schema"
)

// Kinds of faults that change a table; they have no rules of their own, and are
// counted and logged when they are made.
const (
	FaultDroppedColumn FaultKind = "dropped_column"
	FaultFailedKey     FaultKind = "failed_key"
	FaultSecuredColumn FaultKind = "secured_column"
	FaultExpiredTokens FaultKind = "expired_tokens"
	FaultRestore       FaultKind = "restore"
)

// DropColumn deletes a column from a table, as an administrator may while clients
// go on using it: bodies and queries that name it are refused from now on, and
// its values are lost. The primary id, and columns that keys or navigation
// properties need, cannot be dropped. Delta tokens of the table become void, as
// they were seen to do after changes of a table (assumption: after any change).
func (s *Server) DropColumn(table, column string) error {
	return s.alterFault(table, FaultDroppedColumn, true, func(t *schema.Table) error {
		i := slices.IndexFunc(t.Columns, func(c schema.Column) bool { return c.LogicalName == column && c.Type != typeDropped })
		if i < 0 {
			return fmt.Errorf("simulator: table %s has no column %s", table, column)
		}
		used := column == t.PrimaryID || column == t.PrimaryName || column == "versionnumber" || slices.Contains(t.KeyColumns(), column)
		if used || t.Columns[i].Type == schema.TypeState || t.Columns[i].Type == schema.TypeStatus {
			return fmt.Errorf("simulator: table %s: column %s is needed by the table or a key", table, column)
		}
		t.Columns[i] = schema.Column{LogicalName: column, Type: typeDropped}
		t.Navigations = slices.DeleteFunc(t.Navigations, func(n schema.Navigation) bool { return n.Column == column })
		return nil
	})
}

// FailKey sets an alternate key to Failed, as its index job does when it meets
// duplicates: requests that use it are refused. Source: "Define alternate keys".
func (s *Server) FailKey(table, key string) error {
	return s.alterFault(table, FaultFailedKey, false, keyStatus(key, schema.KeyFailed))
}

// ActivateKey makes an alternate key Active again. It fails while records share
// the values of its columns.
func (s *Server) ActivateKey(table, key string) error {
	return s.AlterTable(table, false, keyStatus(key, schema.KeyActive))
}

func keyStatus(key string, status schema.KeyStatus) func(*schema.Table) error {
	return func(t *schema.Table) error {
		for i := range t.Keys {
			if t.Keys[i].LogicalName == key {
				t.Keys[i].Status = status
				return nil
			}
		}
		return fmt.Errorf("simulator: table %s has no key %s", t.LogicalName, key)
	}
}

func (s *Server) alterFault(table string, kind FaultKind, expire bool, change func(*schema.Table) error) error {
	if err := s.AlterTable(table, expire, change); err != nil {
		return err
	}
	return s.noteTableFault(table, kind)
}

func (s *Server) noteTableFault(name string, kind FaultKind) error {
	t, err := s.table(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.count(kind)
	s.log.add(logRecord{at: s.opts.Now().UnixNano(), kind: KindFault, operation: string(kind), table: t})
	return nil
}

// SecureColumn takes a column away from the caller by column-level security, or
// gives it back: it reads as null, and writing it is refused with 403. Source:
// status table of "Compose HTTP requests and handle errors" (AttributePermission
// errors); reading as null is an assumption. Filters still see the value.
func (s *Server) SecureColumn(table, column string, secured bool) error {
	t, err := s.table(table)
	if err != nil {
		return err
	}
	if err := s.secure(t, table, column, secured); err != nil || !secured {
		return err
	}
	return s.noteTableFault(table, FaultSecuredColumn)
}

func (s *Server) secure(t *table, table, column string, secured bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := *t.def.Load()
	i := next.column(column)
	if i < 0 || i == next.id || i == next.version {
		return fmt.Errorf("simulator: table %s has no column %s that can be secured", table, column)
	}
	next.secured = append(make([]bool, 0, len(next.Columns)), next.secured...)
	next.secured = append(next.secured, make([]bool, len(next.Columns)-len(next.secured))...)
	next.secured[i] = secured
	next.guarded = append(make([]bool, 0, len(next.Columns)), next.guarded...)
	next.guarded = append(next.guarded, make([]bool, len(next.Columns)-len(next.guarded))...)
	next.guarded[i] = true // once given back, by a profile that lets the caller read it
	t.def.Store(&next)
	return nil
}

// refuseSecured refuses a body that writes a secured column.
func refuseSecured(q *writeRequest, d *tableDef, create bool) *apiError {
	if q.method == "" || d.secured == nil {
		return nil
	}
	e := &apiError{Status: http.StatusForbidden, Code: codeSecureWrite, Message: "The user doesn't have AttributePrivilegeUpdate and not granted shared access for a secured attribute during update operation"}
	if create {
		e.Code, e.Message = codeSecureMake, "The user does not have create permissions to a secured field. The requested operation could not be completed."
	}
	for _, set := range q.body.sets {
		if d.isSecured(set.column) {
			return e
		}
	}
	for _, b := range q.body.binds {
		if d.isSecured(b.column) {
			return e
		}
	}
	return nil
}
