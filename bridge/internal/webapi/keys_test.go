package webapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"cebridge/bridge/sim"
	"cebridge/schema"
	"cebridge/schema/outcome"
)

// settled polls a key until its index job has ended.
func (o *organization) settled(t *testing.T, name string) *Key {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		k, err := o.client.Key(ctx, "account", name)
		if err != nil || k == nil {
			t.Fatalf("key %v: %v", k, err)
		}
		if k.Status == schema.KeyActive || k.Status == schema.KeyFailed {
			return k
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the key stays %s", k.Status)
		}
	}
}

func TestAKeyIsDefinedAndAddressesRecordsOnceItIsActive(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile, KeyJobDelay: 50 * time.Millisecond})
		if k, err := o.client.Key(t.Context(), "account", "new_cebridge_fax"); k != nil || err != nil {
			t.Fatalf("before: %v, %v", k, err)
		}
		want := NewKey{Table: "account", SchemaName: "new_cebridge_Fax", Label: "Fax", Columns: []string{"fax"}}
		if err := o.client.CreateKey(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		k := o.settled(t, "new_cebridge_fax")
		if k.Status != schema.KeyActive || k.SchemaName != want.SchemaName || len(k.Columns) != 1 || k.Columns[0] != "fax" || k.Cause != "" {
			t.Errorf("%+v", k)
		}
		if err := o.client.CreateKey(t.Context(), want); err != nil {
			t.Errorf("the same key again: %v", err)
		}
		other := want
		other.Columns = []string{"name"}
		if err := o.client.CreateKey(t.Context(), other); !hasReason(err, outcome.Config) || outcome.Of(err).Verdict != outcome.Stop {
			t.Errorf("the name with other columns: %v", err)
		}
		if err := o.client.ReactivateKey(t.Context(), "account", "new_cebridge_fax"); !hasReason(err, outcome.Config) {
			t.Errorf("an active key was reactivated: %v", err)
		}
	})
}

func TestAFailedKeyTellsItsCauseAndCanBeReactivated(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile, KeyJobDelay: time.Millisecond})
		var last string
		for range 2 {
			id, err := o.sim.Insert("account", map[string]any{"name": "x", "fax": "1"})
			if err != nil {
				t.Fatal(err)
			}
			last = id
		}
		if err := o.client.CreateKey(t.Context(), NewKey{Table: "account", SchemaName: "new_fax", Label: "Fax", Columns: []string{"fax"}}); err != nil {
			t.Fatal(err)
		}
		if k := o.settled(t, "new_fax"); k.Status != schema.KeyFailed || !strings.Contains(k.Cause, "records share a value") {
			t.Fatalf("%+v", k)
		}
		if err := o.sim.Delete("account", last); err != nil {
			t.Fatal(err)
		}
		if err := o.client.ReactivateKey(t.Context(), "account", "new_fax"); err != nil {
			t.Fatal(err)
		}
		if k := o.settled(t, "new_fax"); k.Status != schema.KeyActive {
			t.Errorf("%+v", k)
		}
	})
}

func TestNamesThatAreNoneNeverReachTheServer(t *testing.T) {
	o := newOrganization(t, sim.Options{})
	o.sim.ResetRequests()
	if err := o.client.CreateKey(t.Context(), NewKey{Table: "account')", SchemaName: "new_x"}); !hasReason(err, outcome.Config) {
		t.Error(err)
	}
	if _, err := o.client.Key(t.Context(), "account", "x')/.."); !hasReason(err, outcome.Config) {
		t.Error(err)
	}
	if n := o.sim.Requests().Total(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestAJobIsFoundInBothFormsOfItsReference(t *testing.T) {
	for raw, want := range map[string]string{
		`"0A0B0C0D-0000-4000-8000-000000000001"`:                      guid1,
		`{"asyncoperationid":"0a0b0c0d-0000-4000-8000-000000000001"}`: guid1,
		`null`: "", `{}`: "", `"x"`: "", `7`: "", ``: "",
	} {
		if got := jobID([]byte(raw)); got != want {
			t.Errorf("%s: %q", raw, got)
		}
	}
}

func TestRecordsAreCountedUpToTheServersLimit(t *testing.T) {
	o := newOrganization(t, sim.Options{})
	for range 3 {
		if _, err := o.sim.Insert("account", map[string]any{"name": "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if n, more, err := o.client.CountUpTo5000(t.Context(), o.catalog["account"]); n != 3 || more || err != nil {
		t.Errorf("%d, %v, %v", n, more, err)
	}
}

func TestAKeyWhoseAnswerWasLostCountsAsMadeWhenItIsThere(t *testing.T) {
	for name, made := range map[string]bool{"made": true, "not made": false} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPost:
					panic(http.ErrAbortHandler) // the connection breaks
				case strings.HasSuffix(r.URL.Path, "/organizations"):
					answering(200, `{"value":[{"languagecode":1031}]}`)(w, r)
				case made:
					answering(200, `{"LogicalName":"new_fax","SchemaName":"new_fax","KeyAttributes":["fax"],"EntityKeyIndexStatus":"Pending"}`)(w, r)
				default:
					answering(404, `{"error":{"code":"0x80060888","message":"not found"}}`)(w, r)
				}
			}))
			err := c.CreateKey(t.Context(), NewKey{Table: "account", SchemaName: "new_fax", Columns: []string{"fax"}})
			if (err == nil) != made {
				t.Error(err)
			}
		})
	}
}

func TestTheCauseOfAFailureDoesNotQuoteRecords(t *testing.T) {
	const message = "The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name 'dbo.AccountBase'. The duplicate key value is (Jane (Doe), 7).\r\nThe statement has been terminated."
	c, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "asyncoperations") {
			text, _ := json.Marshal(message)
			answering(200, `{"message":`+string(text)+`,"friendlymessage":null}`)(w, r)
			return
		}
		if r.Header.Get("Consistency") != "Strong" {
			t.Error("the key is read from a cache")
		}
		answering(200, `{"LogicalName":"new_fax","KeyAttributes":["fax"],"EntityKeyIndexStatus":"Failed","AsyncJob":"`+guid1+`"}`)(w, r)
	}))
	k, err := c.Key(t.Context(), "account", "new_fax")
	if err != nil || strings.Contains(k.Cause, "Jane") || !strings.Contains(k.Cause, "The duplicate key value is (hidden). The statement has been terminated.") {
		t.Errorf("%+v, %v", k, err)
	}
}
