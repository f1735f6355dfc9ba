package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// FaultExpiredDump makes the server treat the delta token of a request as expired
// in the silent form: every record comes back and no delete. Applied. The other
// form is FaultExpiredToken.
const FaultExpiredDump FaultKind = "expired_dump"

// tableFaultKinds change the database and not a request: FaultDroppedColumn
// (Table, Column), FaultSecuredColumn (the same), FaultFailedKey (Table, Key),
// FaultExpiredTokens (Table) and FaultRestore. A rule of theirs acts once: as soon
// as it is added, or, with After, just before the request after so many matching
// ones. The backup that FaultRestore goes back to is made when it is added, which
// is why it needs After. What they do is documented at the methods of Server that
// do the same.
func tableFaultKinds() []FaultKind {
	return []FaultKind{FaultDroppedColumn, FaultSecuredColumn, FaultFailedKey, FaultExpiredTokens, FaultRestore}
}

func isTableFault(kind FaultKind) bool { return slices.Contains(tableFaultKinds(), kind) }

// validateTarget checks the fields that say what a fault is about.
func (r Rule) validateTarget() error {
	var errs []error
	needs := func(field, value string, needed bool) {
		switch {
		case needed && value == "":
			errs = append(errs, fmt.Errorf("%s needs %s", r.Kind, field))
		case !needed && value != "":
			errs = append(errs, fmt.Errorf("%s has no meaning for %s", field, r.Kind))
		}
	}
	column := r.Kind == FaultDroppedColumn || r.Kind == FaultSecuredColumn
	needs("column", r.Column, column)
	needs("key", r.Key, r.Kind == FaultFailedKey)
	if !isTableFault(r.Kind) {
		return errors.Join(errs...)
	}
	if r.Kind != FaultRestore {
		needs("table", r.Table, true)
	} else if r.After == 0 {
		errs = append(errs, errors.New("restore needs after: the backup is made when the rule is added"))
	}
	if r.Times > 1 {
		errs = append(errs, fmt.Errorf("%s acts once", r.Kind))
	}
	return errors.Join(errs...)
}

// bind gives the rules the server whose database they change, and lets those act
// that were waiting for it.
func (f *Faults) bind(s *Server) error {
	f.mu.Lock()
	f.server = s
	waiting := slices.DeleteFunc(slices.Clone(f.rules), func(r *activeRule) bool { return !isTableFault(r.Kind) })
	f.mu.Unlock()
	for _, rule := range waiting {
		if err := f.admit(s, rule); err != nil {
			return err
		}
	}
	return nil
}

// admit does what a rule about the database does at once.
func (f *Faults) admit(s *Server, rule *activeRule) error {
	if rule.Kind == FaultRestore {
		b := s.Snapshot()
		f.mu.Lock()
		rule.backup = b
		f.mu.Unlock()
	}
	f.mu.Lock()
	now := rule.After == 0 && rule.fired == 0
	if now {
		rule.fired++
	}
	f.mu.Unlock()
	if !now {
		return nil
	}
	return f.act(s, rule)
}

// act changes the database. The methods of Server count and log it.
func (f *Faults) act(s *Server, rule *activeRule) error {
	var err error
	switch rule.Kind {
	case FaultDroppedColumn:
		err = s.DropColumn(rule.Table, rule.Column)
	case FaultSecuredColumn:
		err = s.SecureColumn(rule.Table, rule.Column, true)
	case FaultFailedKey:
		err = s.FailKey(rule.Table, rule.Key)
	case FaultExpiredTokens:
		err = s.ExpireTokens(rule.Table)
	case FaultRestore:
		err = s.Restore(rule.backup)
	}
	if err != nil {
		f.mu.Lock()
		rule.fired--
		f.mu.Unlock()
		return fmt.Errorf("fault %s: %w", rule.Kind, err)
	}
	return nil
}

type dumpKey struct{}

// withDump marks a request whose delta token counts as expired in the silent form.
func withDump(ctx context.Context) context.Context { return context.WithValue(ctx, dumpKey{}, true) }

// forcedDump reads the mark.
func forcedDump(ctx context.Context) bool { return ctx.Value(dumpKey{}) != nil }
