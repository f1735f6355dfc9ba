package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge"
)

// send publishes events to the ERP stream of a running bridge.
func sendEvents(t *testing.T, config string, datas ...string) {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	port := regexp.MustCompile(`port: (\d+)`).FindSubmatch(text)[1]
	nc, err := nats.Connect("nats://127.0.0.1:" + string(port))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for i, data := range datas {
		body := fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/t","type":"t","data":%s}`, i, data)
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "erp.customer", Data: []byte(body),
			Header: nats.Header{"Content-Type": {"application/cloudevents+json"}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// lettersWhen lists letters until there are n that fit.
func lettersWhen(t *testing.T, config string, n int, where ...string) []bridge.DeadLetter {
	t.Helper()
	for {
		args := []string{"deadletters", "list", "-c", config, "--output", "json"}
		for _, w := range where {
			args = append(args, "--where", w)
		}
		code, out, errs := once(t, args...)
		var list []bridge.DeadLetter
		if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil {
			t.Fatalf("code %d, %v: %s%s", code, err, out, errs)
		}
		if len(list) == n {
			return list
		}
		if len(list) > n || t.Context().Err() != nil {
			t.Fatalf("%d letters, want %d: %s", len(list), n, out)
		}
	}
}

func TestDeadLettersAreListedShownRetriedEditedExportedAndDiscarded(t *testing.T) {
	t.Parallel()
	s, url := simulator(t)
	path, _ := running(t, s, url)
	long := strings.Repeat("x", 500)
	sendEvents(t, path, `{"id":"K1","name":"`+long+`"}`, `{"id":"K2","name":7}`, `{"name":"no key"}`)
	list := lettersWhen(t, path, 3)
	if list[0].Route != "erp" || list[0].State != "dead" || list[0].Data != nil || list[0].Source.Subject != "erp.customer" {
		t.Errorf("letter %+v", list[0])
	}
	tooLong := fmt.Sprint(lettersWhen(t, path, 1, "key=k1")[0].ID)
	number := fmt.Sprint(lettersWhen(t, path, 1, "key=k2", "route=erp")[0].ID)
	lettersWhen(t, path, 0, "route=other")

	code, out, _ := once(t, "deadletters", "show", "-c", path, tooLong)
	if code != 0 {
		t.Errorf("show ended with %d", code)
	}
	contains(t, "show", out, "route erp", "message   1 of stream ERP", "invalid", long)

	// A dry run changes nothing; a retry without a change is refused by the route again.
	code, out, _ = once(t, "deadletters", "retry", "-c", path, "--where", "key=k2", "--dry-run")
	if code != 0 || !strings.Contains(out, "would retry") {
		t.Errorf("code %d: %s", code, out)
	}
	if code, out, errs := once(t, "deadletters", "retry", "-c", path, "--where", "key=k2", "--yes", "--rate", "100"); code != 0 {
		t.Fatalf("code %d: %s%s", code, out, errs)
	}
	again := lettersWhen(t, path, 2, "key=k2")
	if again[0].State != "retried" || again[0].Retried == nil || again[1].RetryCount != 1 ||
		again[1].RetryOf != fmt.Sprintf("erp/%s/%d", again[0].Source.Incarnation, again[0].Source.Sequence) {
		t.Errorf("lineage %+v, %+v", again[0], again[1])
	}
	if code, _, errs := once(t, "deadletters", "retry", "-c", path, number); code != 4 {
		t.Errorf("a second retry ended with %d: %s", code, errs)
	}

	// Edited data is applied, and the letter keeps the original.
	edited := file(t, "edited.json", `{"specversion":"1.0","id":"e","source":"/t","type":"t","data":{"id":"K1","name":"short"}}`)
	if code, out, errs := once(t, "deadletters", "edit", "-c", path, tooLong, "--data", edited); code != 0 {
		t.Fatalf("edit ended with %d: %s%s", code, out, errs)
	}
	for {
		if _, ok := s.FindByKey("account", map[string]any{"accountnumber": "K1"}); ok {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("the edited message was not applied")
		}
		lettersWhen(t, path, 4)
	}
	code, out, _ = once(t, "deadletters", "export", "-c", path, "--where", "key=k1")
	var exported bridge.DeadLetter
	if err := json.Unmarshal([]byte(out), &exported); code != 0 || err != nil || !strings.Contains(string(exported.Data), long) || !exported.Retried.Edited {
		t.Errorf("code %d, %v: %.300s", code, err, out)
	}

	if code, _, _ := once(t, "deadletters", "discard", "-c", path, tooLong); code != 2 {
		t.Errorf("discard without --yes ended with %d", code)
	}
	if code, out, errs := once(t, "deadletters", "discard", "-c", path, tooLong, "--yes"); code != 0 {
		t.Errorf("discard ended with %d: %s%s", code, out, errs)
	}
	lettersWhen(t, path, 3)
	if code, _, errs := once(t, "deadletters", "show", "-c", path, tooLong); code != 1 || !strings.Contains(errs, "no letter "+tooLong) {
		t.Errorf("a discarded letter: code %d, %s", code, errs)
	}
}

func TestACommandAboutDeadLettersThatMakesNoSenseEndsWith2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"retry", "-c", "x"},
		{"retry", "-c", "x", "--where", "reason=invalid"},
		{"retry", "-c", "x", "--where", "reason=invalid", "--yes", "--rate", "-1"},
		{"discard", "-c", "x", "5"},
		{"edit", "-c", "x", "5"},
		{"list"},
		{"show", "-c", "x"},
		{"list", "-c", "x", "--output", "yaml"},
	} {
		if code, _, errs := once(t, append([]string{"deadletters"}, args...)...); code != 2 {
			t.Errorf("%v ended with %d: %s", args, code, errs)
		}
	}
}
