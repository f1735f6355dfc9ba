package webapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/bridge/sim"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

// inSim makes n accounts and deletes those that gone names.
func inSim(t *testing.T, o *organization, n int, gone func(i int) bool) (ids, missing []string) {
	t.Helper()
	for i := range n {
		id, err := o.sim.Insert("account", map[string]any{"name": fmt.Sprint("Contoso ", i)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		if gone(i) {
			if err := o.sim.Delete("account", id); err != nil {
				t.Fatal(err)
			}
			missing = append(missing, id)
		}
	}
	return ids, missing
}

func TestAThousandGoneRecordsAreConfirmedInTwoRequests(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile sim.Profile) {
		o := newOrganization(t, sim.Options{Profile: profile})
		ids, want := inSim(t, o, 1000, func(i int) bool { return i%10 != 3 })
		o.sim.ResetRequests()
		got, err := o.client.Missing(t.Context(), o.query(0), ids)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("missing (-want +got):\n%s", diff)
		}
		if n := o.sim.Requests(); n.Total() != 2 || n.Of("POST", sim.RequestBatch) != 2 {
			t.Errorf("%v requests for 1000 records, want 2 batches", n)
		}
	})
}

// What the simulator does wrong to a look-up is an error, or is asked again; no live
// record is ever called missing.
func TestNoFaultMakesALiveRecordMissing(t *testing.T) {
	t.Parallel()
	batch := func(r sim.Rule) sim.Rule { r.PathContains = "$batch"; return r }
	for name, c := range map[string]struct {
		rule sim.Rule
		want string // "" means it succeeds in the end
	}{
		"cut":                     {batch(sim.Rule{Kind: sim.FaultCutBody, Bytes: 4000, Times: 1}), ""},
		"truncated":               {batch(sim.Rule{Kind: sim.FaultTruncatedJSON, Times: 1}), ""},
		"empty":                   {batch(sim.Rule{Kind: sim.FaultEmptyBody, Times: 1}), ""},
		"a sign-in page":          {batch(sim.Rule{Kind: sim.FaultHTMLPage, Times: 1}), ""},
		"unavailable":             {batch(sim.Rule{Kind: sim.FaultServerError, Times: 1}), ""},
		"throttled":               {batch(sim.Rule{Kind: sim.FaultThrottle, RetryAfter: "1", Times: 1}), ""},
		"no $batch":               {batch(sim.Rule{Kind: sim.FaultError, Status: 501, Message: "not implemented"}), ""},
		"every batch refused":     {batch(sim.Rule{Kind: sim.FaultError, Status: 400, Message: "too much"}), ""},
		"no right for one record": {sim.Rule{Kind: sim.FaultRevokedPrivilege, Table: "account", After: 17, Times: 1}, "stop forbidden"},
		"a right that is lost":    {sim.Rule{Kind: sim.FaultRevokedPrivilege, Table: "account"}, "stop forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults := sim.NewFaults(1)
			o := newOrganization(t, sim.Options{Faults: faults})
			ids, missing := inSim(t, o, 40, func(i int) bool { return i%3 == 0 })
			faults.Add(c.rule)
			got, err := o.client.Missing(t.Context(), o.query(0), ids)
			if n := faults.Counts()[string(c.rule.Kind)]; n == 0 {
				t.Error("the fault never happened")
			}
			if c.want != "" {
				if len(got) != 0 {
					t.Errorf("%d records are called missing beside %v", len(got), err)
				}
				wantVerdict(t, name, outcome.Of(err), c.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(missing, got); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}

// lookUpAnswers answers each batch of look-ups with the next of its answers; the
// last one goes on.
type lookUpAnswers struct {
	t       *testing.T
	answers []func(w http.ResponseWriter, ids []string)

	mu    sync.Mutex
	sizes []int
	at    []time.Time
}

func (s *lookUpAnswers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ids []string
	for _, q := range readBatchRequest(s.t, r) {
		path, ok := strings.CutPrefix(q.line, "GET /api/data/v9.2/accounts(")
		id, rest, ok2 := strings.Cut(path, ")")
		if !ok || !ok2 || rest != "?$select=accountid HTTP/1.1" || q.body != "" {
			s.t.Errorf("a look-up by %q with body %q", q.line, q.body)
		}
		ids = append(ids, id)
	}
	s.mu.Lock()
	answer := s.answers[min(len(s.sizes), len(s.answers)-1)]
	s.sizes, s.at = append(s.sizes, len(ids)), append(s.at, time.Now())
	s.mu.Unlock()
	answer(w, ids)
}

func liveRecord(id string) string { return part(200, "", `{"accountid":"`+id+`"}`) }

func goneRecord(id string) string {
	return part(404, "", apiError("0x80040217", "account With Id = "+id+" Does Not Exist"))
}

// each answers record by record.
func each(of func(i int, id string) string) func(http.ResponseWriter, []string) {
	return func(w http.ResponseWriter, ids []string) {
		var parts []string
		for i, id := range ids {
			parts = append(parts, of(i, id))
		}
		multipart(w, 200, batchAnswer(parts...))
	}
}

func guids(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("0a0b0c0d-0000-4000-8000-%012d", i))
	}
	return ids
}

// TestOnlyTheAPIsOwnWordAboutThisRecordCounts: any odd part spoils the whole answer.
func TestOnlyTheAPIsOwnWordAboutThisRecordCounts(t *testing.T) {
	t.Parallel()
	third := func(text string) func(int, string) string {
		return func(i int, id string) string {
			if i == 2 {
				return text
			}
			return goneRecord(id)
		}
	}
	other := guids(9)[8]
	for name, c := range map[string]struct {
		of   func(int, string) string
		want string
	}{
		"another record's answer":     {third(liveRecord(other)), "retry bad_answer"},
		"another record is not there": {third(goneRecord(other)), "reject not_found"},
		"no code, another record":     {third(part(404, "", apiError("", "account With Id = "+other+" Does Not Exist"))), "reject not_found"},
		"no such table":               {third(part(404, "", apiError("0x80060888", "Resource not found for the segment 'accounts'."))), "stop config"},
		"a bare 404":                  {third(part(404, "", "")), "retry bad_answer"},
		"404 from a proxy":            {third(part(404, "Content-Type: text/html\r\n", "<html></html>")), "retry bad_answer"},
		"404 that says nothing":       {third(part(404, "", apiError("", "no"))), "stop config"},
		"the code under status 400":   {third(part(400, "", apiError("0x80040217", "account With Id = "+guids(3)[2]+" Does Not Exist"))), "reject not_found"},
		"something is not there":      {third(part(404, "", apiError("", "The entity does not exist."))), "reject not_found"},
		"no right":                    {third(part(403, "", apiError("0x80040220", "no"))), "stop forbidden"},
		"no right on the record":      {third(part(403, "", apiError("0x80048306", "SecLib::AccessCheckEx failed"))), "stop forbidden"},
		"empty object":                {third(part(200, "", "{}")), "retry bad_answer"},
		"no content":                  {third(part(204, "", "")), "retry bad_answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, stop := newPipeClient(t, &lookUpAnswers{t: t, answers: []func(http.ResponseWriter, []string){each(c.of)}})
				defer stop()
				got, err := client.Missing(t.Context(), accountQuery(), guids(6))
				if len(got) != 0 {
					t.Errorf("missing: %v", got)
				}
				wantVerdict(t, name, outcome.Of(err), c.want)
			})
		})
	}
}

// An answer with too few parts, or too many, concludes nothing.
func TestAnAnswerThatIsNotWholeDeletesNothing(t *testing.T) {
	t.Parallel()
	gone := func(ids []string) (parts []string) {
		for _, id := range ids {
			parts = append(parts, goneRecord(id))
		}
		return parts
	}
	for name, answer := range map[string]func(http.ResponseWriter, []string){
		"one too few": func(w http.ResponseWriter, ids []string) { multipart(w, 200, batchAnswer(gone(ids)[1:]...)) },
		"one too many": func(w http.ResponseWriter, ids []string) {
			multipart(w, 200, batchAnswer(append(gone(ids), gone(ids)[0])...))
		},
		"none": func(w http.ResponseWriter, _ []string) { multipart(w, 200, batchAnswer()) },
		"no end": func(w http.ResponseWriter, ids []string) {
			multipart(w, 200, strings.TrimSuffix(batchAnswer(gone(ids)...), "--\r\n")+"\r\n")
		},
		"swapped": func(w http.ResponseWriter, ids []string) {
			parts := gone(ids)
			slices.Reverse(parts)
			multipart(w, 200, batchAnswer(parts...))
		},
		"no batch": answerObject,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, stop := newPipeClient(t, &lookUpAnswers{t: t, answers: []func(http.ResponseWriter, []string){answer}})
				defer stop()
				if got, err := client.Missing(t.Context(), accountQuery(), guids(6)); len(got) != 0 || outcome.Of(err) == nil {
					t.Errorf("missing: %v, %v", got, err)
				}
			})
		})
	}
}

func answerObject(w http.ResponseWriter, _ []string) { answering(200, `{"value":[]}`)(w, nil) }

// TestALookUpWaitsAsTheServerAsks: a throttled batch, and a throttled part of one,
// close the gate for everybody.
func TestALookUpWaitsAsTheServerAsks(t *testing.T) {
	t.Parallel()
	for name, throttle := range map[string]func(http.ResponseWriter, []string){
		"the batch": func(w http.ResponseWriter, _ []string) {
			w.Header().Set("Retry-After", "37")
			answering(429, apiError("0x80072322", "slower"))(w, nil)
		},
		"a part": each(func(i int, id string) string {
			if i == 3 {
				return part(429, "Retry-After: 37\r\n", apiError("0x80072322", "slower"))
			}
			return goneRecord(id)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &lookUpAnswers{t: t, answers: []func(http.ResponseWriter, []string){throttle, each(func(_ int, id string) string { return goneRecord(id) })}}
				client, stop := newPipeClient(t, s)
				defer stop()
				ids := guids(6)
				got, err := client.Missing(t.Context(), accountQuery(), ids)
				if err != nil || !slices.Equal(got, ids) {
					t.Errorf("missing: %v, %v", got, err)
				}
				if len(s.at) != 2 || s.at[1].Sub(s.at[0]) < 37*time.Second {
					t.Errorf("requests at %v, want two with 37 s between them", s.at)
				}
			})
		})
	}
}

// TestALookUpAdaptsToTheServer: a batch that is too large is asked again in smaller
// ones, one that stops at the first absent record goes on one by one.
func TestALookUpAdaptsToTheServer(t *testing.T) {
	t.Parallel()
	t.Run("smaller", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &lookUpAnswers{t: t, answers: []func(http.ResponseWriter, []string){func(w http.ResponseWriter, ids []string) {
				if len(ids) > 100 {
					answering(413, "")(w, nil)
					return
				}
				each(func(_ int, id string) string { return goneRecord(id) })(w, ids)
			}}}
			client, stop := newPipeClient(t, s)
			defer stop()
			ids := guids(500)
			if got, err := client.Missing(t.Context(), accountQuery(), ids); err != nil || !slices.Equal(got, ids) {
				t.Errorf("%d missing, %v", len(got), err)
			}
			if s.sizes[0] != 500 || s.sizes[1] != 250 || s.sizes[2] != 125 || s.sizes[3] != 62 || len(s.sizes) > 20 {
				t.Errorf("sizes %v", s.sizes)
			}
		})
	})
	t.Run("overdue", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &lookUpAnswers{t: t, answers: []func(http.ResponseWriter, []string){func(w http.ResponseWriter, ids []string) {
				advance(time.Duration(len(ids)) * time.Second)
				each(func(_ int, id string) string { return goneRecord(id) })(w, ids)
			}}}
			client, stop := newPipeClient(t, s, func(c *Config) { c.Timeout = 120 * time.Second })
			defer stop()
			ids, tries := guids(200), 0
			for {
				got, err := client.Missing(t.Context(), accountQuery(), ids)
				if err == nil {
					if !slices.Equal(got, ids) {
						t.Errorf("%d missing", len(got))
					}
					break
				}
				wantVerdict(t, "overdue", outcome.Of(err), "retry timeout")
				if tries++; tries > 3 {
					t.Fatalf("it never becomes small enough: %v", s.sizes)
				}
			}
		})
	})
	t.Run("no going on", func(t *testing.T) {
		t.Parallel()
		var batches, singles int
		var mu sync.Mutex
		c, _ := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if r.Method == http.MethodPost {
				_, _ = io.Copy(io.Discard, r.Body)
				batches++
				multipart(w, 404, batchAnswer(goneRecord(guids(1)[0])))
				return
			}
			singles++
			id := strings.TrimSuffix(strings.SplitAfter(r.URL.Path, "accounts(")[1], ")")
			answering(404, apiError("0x80040217", "account With Id = "+id+" Does Not Exist"))(w, r)
		}))
		ids := guids(40)
		for range 2 {
			if got, err := c.Missing(t.Context(), accountQuery(), ids); err != nil || !slices.Equal(got, ids) {
				t.Errorf("%d missing, %v", len(got), err)
			}
		}
		if batches != 1 || singles != 80 {
			t.Errorf("%d batches, %d single requests", batches, singles)
		}
	})
}

func TestTheCallersEndIsNoVerdictOnRecords(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := newTestClient(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices the caller's end only behind the body
		cancel()
		<-r.Context().Done()
	}))
	got, err := c.Missing(ctx, accountQuery(), guids(6))
	if len(got) != 0 || !errors.Is(err, context.Canceled) || outcome.Of(err) != nil {
		t.Errorf("missing: %v, %v", got, err)
	}
	if _, err := c.Missing(t.Context(), accountQuery(), []string{"1) or (1"}); outcome.Of(err) == nil {
		t.Error("something that is no GUID was asked for")
	}
}
