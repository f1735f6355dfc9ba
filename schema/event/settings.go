package event

import (
	"fmt"
	"net/url"
	"strings"

	"cebridge/schema"
)

// Settings are constant for one table.
type Settings struct {
	// Source is a URI reference, written as it is: /crm/contoso/account.
	Source string
	// TypePrefix is a name in reverse-DNS form: com.contoso.crm.
	TypePrefix string
	// Table is a logical name.
	Table string
	// OrgID is the organization's GUID; "" leaves the attribute out.
	OrgID string
	// DataSchema is an absolute URI; "" leaves the attribute out.
	DataSchema string
	// Mode is Structured when empty.
	Mode Mode
}

// validate names the first field that cannot be used.
func (s *Settings) validate() error {
	if err := checkText("source", s.Source); err != nil {
		return err
	}
	if u, err := url.Parse(s.Source); err != nil || s.Source == "" || u.String() != s.Source {
		return fmt.Errorf("source %q is not a URI reference: write it like /crm/contoso/account", s.Source)
	}
	if !validTypePrefix(s.TypePrefix) {
		return fmt.Errorf("type prefix %q is not a reverse-DNS name: write it like com.contoso.crm", s.TypePrefix)
	}
	if !schema.ValidToken(s.Table) {
		return fmt.Errorf("table %q is not a logical name", s.Table)
	}
	if s.OrgID != "" && !schema.IsGUID(s.OrgID) {
		return fmt.Errorf("organization id %q is not a GUID", s.OrgID)
	}
	if s.DataSchema != "" {
		u, err := url.Parse(s.DataSchema)
		if err != nil || !u.IsAbs() || u.String() != s.DataSchema || len(s.DataSchema) > MaxAttribute {
			return fmt.Errorf("data schema %q is not an absolute URI", s.DataSchema)
		}
	}
	return s.Mode.validate()
}

func (m Mode) validate() error {
	switch m {
	case "", Structured, Binary:
		return nil
	}
	return fmt.Errorf("mode %q is unknown: use %s or %s", string(m), Structured, Binary)
}

// validTypePrefix takes labels of letters, digits, '-' and '_' joined by dots.
func validTypePrefix(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !schema.ValidToken(label) {
			return false
		}
	}
	return len(s) <= 255
}
