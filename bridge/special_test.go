package bridge_test

import (
	"fmt"
	"testing"

	"cebridge/bridge/sim"
)

// The messages that older clients needed a request of their own for are ordinary
// columns of one Update, addressed by alternate key.
func TestSpecializedMessagesAreOneUpdateByKey(t *testing.T) {
	for _, c := range []struct {
		message string
		route   string
		data    map[string]any
		table   string
		key     map[string]any
		column  string
		want    func(ids map[string]string) any
	}{
		{
			message: "Assign",
			route:   "{table: account, operation: update, key: {accountnumber: data.id}, lookups: {ownerid: {systemuser: {internalemailaddress: data.to}}}}",
			data:    map[string]any{"id": "ABC123", "to": "user@mycompany.com"},
			table:   "account", key: map[string]any{"accountnumber": "ABC123"}, column: "_ownerid_value",
			want: func(ids map[string]string) any { return ids["user"] },
		},
		{
			message: "Assign to a team",
			route:   "{table: account, operation: update, key: {accountnumber: data.id}, lookups: {ownerid: {team: {name: data.to}}}}",
			data:    map[string]any{"id": "ABC123", "to": "Field Team"},
			table:   "account", key: map[string]any{"accountnumber": "ABC123"}, column: "_ownerid_value",
			want: func(ids map[string]string) any { return ids["team"] },
		},
		{
			message: "SetState",
			route:   "{table: account, operation: update, key: {accountnumber: data.id}, columns: {statecode: '1', statuscode: '2'}}",
			data:    map[string]any{"id": "ABC123"},
			table:   "account", key: map[string]any{"accountnumber": "ABC123"}, column: "statecode",
			want: func(map[string]string) any { return 1 },
		},
		{
			message: "SetParentSystemUser",
			route:   "{table: systemuser, operation: update, key: {internalemailaddress: data.id}, lookups: {parentsystemuserid: {systemuser: {internalemailaddress: data.to}}}}",
			data:    map[string]any{"id": "user@mycompany.com", "to": "manager@mycompany.com"},
			table:   "systemuser", key: map[string]any{"internalemailaddress": "user@mycompany.com"}, column: "_parentsystemuserid_value",
			want: func(ids map[string]string) any { return ids["manager"] },
		},
		{
			message: "SetBusinessUnit of a user",
			route:   "{table: systemuser, operation: update, key: {internalemailaddress: data.id}, lookups: {businessunitid: {businessunit: {name: data.to}}}}",
			data:    map[string]any{"id": "user@mycompany.com", "to": "North"},
			table:   "systemuser", key: map[string]any{"internalemailaddress": "user@mycompany.com"}, column: "_businessunitid_value",
			want: func(ids map[string]string) any { return ids["north"] },
		},
		{
			message: "SetParentTeam",
			route:   "{table: team, operation: update, key: {name: data.id}, lookups: {businessunitid: {businessunit: {name: data.to}}}}",
			data:    map[string]any{"id": "Field Team", "to": "North"},
			table:   "team", key: map[string]any{"name": "Field Team"}, column: "_businessunitid_value",
			want: func(ids map[string]string) any { return ids["north"] },
		},
		{
			message: "SetParentBusinessUnit",
			route:   "{table: businessunit, operation: update, key: {name: data.id}, lookups: {parentbusinessunitid: {businessunit: {name: data.to}}}}",
			data:    map[string]any{"id": "South", "to": "North"},
			table:   "businessunit", key: map[string]any{"name": "South"}, column: "_parentbusinessunitid_value",
			want: func(ids map[string]string) any { return ids["north"] },
		},
		{
			message: "SetBusinessEquipment",
			route:   "{table: equipment, operation: upsert, key: {name: data.id}, lookups: {businessunitid: {businessunit: {name: data.to}}}}",
			data:    map[string]any{"id": "Crane 7", "to": "North"},
			table:   "equipment", key: map[string]any{"name": "Crane 7"}, column: "_businessunitid_value",
			want: func(ids map[string]string) any { return ids["north"] },
		},
	} {
		t.Run(c.message, func(t *testing.T) {
			t.Parallel()
			ids := map[string]string{}
			r := newRig(t, `
inbound:
  streams: {HR: {subjects: [hr.>]}}
  routes:
    change: {stream: HR, start: all, `+c.route[1:]+"\n", func(s *sim.Server) {
				ids["user"] = insert(t, s, "systemuser", map[string]any{"lastname": "User", "domainname": `CONTOSO\user`, "internalemailaddress": "user@mycompany.com"})
				ids["manager"] = insert(t, s, "systemuser", map[string]any{"lastname": "Manager", "domainname": `CONTOSO\manager`, "internalemailaddress": "manager@mycompany.com"})
				ids["north"] = insert(t, s, "businessunit", map[string]any{"name": "North"})
				insert(t, s, "businessunit", map[string]any{"name": "South"})
				ids["team"] = insert(t, s, "team", map[string]any{"name": "Field Team"})
				insert(t, s, "equipment", map[string]any{"name": "Crane 7"})
				insert(t, s, "account", map[string]any{"name": "Contoso", "accountnumber": "ABC123"})
			})
			r.sim.ResetRequests()
			r.send("hr.change", "com.example.hr.change", "1", c.data)
			r.written()
			if got := r.sim.Requests(); got.Total() != 1 || got.Of("PATCH", sim.RequestRecord) != 1 {
				t.Errorf("requests: %v, want one PATCH and nothing else", got)
			}
			id, ok := r.sim.FindByKey(c.table, c.key)
			if !ok {
				t.Fatalf("%s %v is gone", c.table, c.key)
			}
			if got, want := fmt.Sprint(row(t, r.sim, c.table, id)[c.column]), fmt.Sprint(c.want(ids)); got != want {
				t.Errorf("%s.%s is %s, want %s", c.table, c.column, got, want)
			}
		})
	}
}
