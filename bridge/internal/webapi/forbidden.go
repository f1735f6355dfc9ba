package webapi

import (
	"regexp"

	"cebridge/schema/outcome"
)

// Texts of refusals. Sources: public reports of the codes 0x80040220 and 0x80048306;
// "IP firewall in Power Platform environments".
var (
	// textRecordForbidden: the refusal names the record, as that of another business unit.
	textRecordForbidden = regexp.MustCompile(`(?i)for record with id|AccessCheckEx2? failed.*ObjectID: ?\{?[0-9a-f-]{36}`)
	// textNoRights: the principal has no role at all, or none with any privilege. The
	// text of an access check counts the roles of the record's owner, too: those do not
	// matter here.
	textNoRights = regexp.MustCompile(`(?i)^[^a-z]*Principal user \([^)]*\b(roleCount|privilegeCount)=0\b`)
	// textShutOut: nobody is let in from here.
	textShutOut = regexp.MustCompile(`(?i)access to your IP is blocked`)

	textPrivilege = regexp.MustCompile(`\bprv[A-Z][A-Za-z0-9_]{1,99}\b`)
	textRight     = regexp.MustCompile(`\b(Create|Read|Write|Delete|Append|AppendTo|Assign|Share)Access\b`)
)

// judgeForbidden separates what one record can cause from what stops every request of
// this user. Of one record can be: its owner or business unit, the depth of a privilege,
// the rights of the owner that the message names, the rights on a record that it refers
// to, and a privilege that only the custom logic of some records needs. Those reject the
// message; the engine stops the route when many keys in a row are refused so. No record
// is the cause when the user is disabled, has no licence or no role, or is let in from
// nowhere. A query shows only what the user may see, so its refusal is one of the table.
func judgeForbidden(c *call, f fault) judgement {
	switch {
	case textShutOut.MatchString(f.message):
		return judgement{outcome.Stop, outcome.Forbidden}
	case c.op == opExists && c.inbound && textRecordForbidden.MatchString(f.message):
		return judgement{outcome.Reject, outcome.Forbidden}
	case !c.isWrite() || c.op == opMetadata:
		return judgement{outcome.Stop, outcome.Forbidden}
	case c.setsOwner(): // the same codes speak of the owner
		return judgement{outcome.Reject, outcome.TargetForbidden}
	case f.code == codeUserDisabled, f.code == codeUserUnlicensed, f.code == codeUserNoRoles, textNoRights.MatchString(f.message):
		return judgement{outcome.Stop, outcome.Forbidden}
	}
	return judgement{outcome.Reject, outcome.Forbidden}
}

// missingPrivilege finds the name of the missing privilege, or of the access right, in a
// server's text. Both are of closed vocabularies of the platform and its customizers.
func missingPrivilege(message string) string {
	if name := textPrivilege.FindString(message); name != "" {
		return name
	}
	return textRight.FindString(message)
}
