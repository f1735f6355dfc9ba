package webapi

import (
	"fmt"
	"testing"
)

const (
	accessCheck = "SecLib::AccessCheckEx failed. Returned hr = -2147187962, ObjectID: 0f9e8d7c-0000-4000-8000-000000000001, OwnerId: 0f9e8d7c-0000-4000-8000-000000000002, ObjectTypeCode: 1, AccessRights: WriteAccess"
	ofRecord    = `Principal with id 0f9e8d7c-0000-4000-8000-000000000002 does not have AppendToAccess right(s) for record with id 0f9e8d7c-0000-4000-8000-000000000001 of entity contact. Details: {"Messages":["SecLib::AccessCheckEx2 failed. Owner Data: roleCount=0, privilegeCount=0, accessMode=0; Principal Data: roleCount=3, privilegeCount=9"]}`
)

// principal is the platform's text of a missing privilege.
func principal(roles, privileges int, name string) string {
	return fmt.Sprintf("Principal user (Id=0f9e8d7c-0000-4000-8000-000000000002, type=8, roleCount=%d, privilegeCount=%d, accessMode='4 Non-interactive'), "+
		"is missing %s privilege (Id=0f9e8d7c-0000-4000-8000-000000000003) on OTC=1 for entity 'account'.", roles, privileges, name)
}

// What may be of one record rejects that record's message; what is of the user or of the
// organization stops everything.
func TestOnlyWhatIsOfNoSingleRecordStopsAtOnce(t *testing.T) {
	t.Parallel()
	writes := []string{"upsert", "bind", "create", "update", "delete"}
	for name, c := range map[string]struct {
		code, message string
		write, owner  string // verdicts without and with an owner in the body
		privilege     string
	}{
		"another business unit's record": {codeNoPrivilege, accessCheck, "reject forbidden", "reject target_forbidden", "WriteAccess"},
		"a record that is referred to":   {codeNoRight, ofRecord, "reject forbidden", "reject target_forbidden", "AppendToAccess"},
		"a privilege of some depth":      {codeNoPrivilege, principal(8, 420, "prvWriteAccount"), "reject forbidden", "reject target_forbidden", "prvWriteAccount"},
		"a privilege of ten roles":       {codeNoPrivilege, principal(10, 420, "prvWriteAccount"), "reject forbidden", "reject target_forbidden", "prvWriteAccount"},
		"a check on premises":            {codeNoPrivilege, "SecLib::CheckPrivilege failed. User: 0f9e8d7c-0000-4000-8000-000000000002, PrivilegeName: prvCreatecontoso_order, Required Depth: Local", "reject forbidden", "reject target_forbidden", "prvCreatecontoso_order"},
		"a check without a name":         {codeNoPrivilege, "SecLib::AccessCheckEx failed. Returned hr = -2147187962", "reject forbidden", "reject target_forbidden", ""},
		"no words":                       {codeNoPrivilege, "", "reject forbidden", "reject target_forbidden", ""},
		"no code":                        {"", principal(1, 1, "prvWriteAccount"), "reject forbidden", "reject target_forbidden", "prvWriteAccount"},
		"access denied":                  {"0x80048405", "Access is denied.", "reject forbidden", "reject target_forbidden", ""},
		"a secured column":               {"0x8004f507", "The user does not have permission to update", "reject forbidden", "reject target_forbidden", ""},
		"creating is switched off":       {"0x80040276", "Privilege Create is disabled for organization.", "reject forbidden", "reject target_forbidden", ""},
		"the owner lacks a privilege":    {codeOwnerDenied, principal(1, 1, "prvReadAccount"), "reject target_forbidden", "reject target_forbidden", "prvReadAccount"},

		"disabled":         {codeUserDisabled, "The specified user is either disabled or is not a member of any business unit.", "stop forbidden", "reject target_forbidden", ""},
		"without licence":  {codeUserUnlicensed, "The user has not been assigned any License", "stop forbidden", "reject target_forbidden", ""},
		"without roles":    {codeUserNoRoles, "The user (Id = x) has not been assigned any roles.", "stop forbidden", "reject target_forbidden", ""},
		"no role at all":   {codeNoPrivilege, principal(0, 0, "prvWriteAccount"), "stop forbidden", "reject target_forbidden", "prvWriteAccount"},
		"empty roles":      {codeNoPrivilege, principal(2, 0, "prvWriteAccount"), "stop forbidden", "reject target_forbidden", "prvWriteAccount"},
		"disabled for all": {"0x8004a104", "The organization is currently disabled.", "stop forbidden", "stop forbidden", ""},
		"only for admins":  {"0x8004a113", "admin only mode", "stop forbidden", "stop forbidden", ""},
		"not a member":     {"0x80072560", "The user is not a member of the organization.", "stop forbidden", "stop forbidden", ""},
		"a firewall":       {"", "The request you are trying to make is rejected as access to your IP is blocked. Contact your administrator.", "stop forbidden", "stop forbidden", ""},
	} {
		for _, op := range append(writes, "owner") {
			want := c.write
			if op == "owner" {
				want = c.owner
			}
			e := verdictOf(calls()[op], 403, nil, apiError(c.code, c.message))
			wantVerdict(t, name+", "+op, e, want)
			if e.Privilege != c.privilege {
				t.Errorf("%s, %s: privilege %q, want %q", name, op, e.Privilege, c.privilege)
			}
		}
	}
}

// Reads that follow a table, and queries, are not about one record.
func TestARefusedReadIsOfOneRecordOnlyWhenAWriteLooksAtThatRecord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ op, message, want string }{
		{"look", ofRecord, "reject forbidden"},
		{"look", accessCheck, "reject forbidden"},
		{"look", principal(8, 420, "prvReadAccount"), "stop forbidden"},
		{"exists", ofRecord, "stop forbidden"},
		{"search", principal(8, 420, "prvReadAccount"), "stop forbidden"},
		{"page", accessCheck, "stop forbidden"},
		{"metadata", accessCheck, "stop forbidden"},
	} {
		wantVerdict(t, c.op+" "+c.message, verdictOf(calls()[c.op], 403, nil, apiError(codeNoRight, c.message)), c.want)
	}
}
