package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestAFaultyConfigurationEndsWith78AndAllItsFaults(t *testing.T) {
	t.Parallel()
	path := file(t, "bad.yaml", `org: con toso
webapi:
  url: ftp://contoso
  versoin: v9.2
nats: embedded
outbound:
  type_prefix: com.contoso.crm
  tables:
    account: {poll: 1ms}
`)
	code, out, errs := once(t, "run", "-c", path)
	if code != 78 || out != "" {
		t.Errorf("code %d, stdout %q", code, out)
	}
	contains(t, "stderr", errs,
		path+":1:6: org: use 1 to 64 letters",
		path+":3:8: webapi.url: the URL must begin with https://",
		path+":4:3: webapi.versoin: unknown field; did you mean version?",
		path+":9:15: outbound.tables.account.columns: required",
		path+":9:21: outbound.tables.account.poll: 1ms is outside 100ms to 24h0m0s",
	)
	if n := strings.Count(strings.TrimSpace(errs), "\n") + 1; n != 5 {
		t.Errorf("%d lines, want one for each of 5 faults:\n%s", n, errs)
	}
}

func TestAMissingConfigurationEndsWith78(t *testing.T) {
	t.Parallel()
	code, _, errs := once(t, "run", "--config", "/nowhere/bridge.yaml")
	if code != 78 {
		t.Errorf("code %d", code)
	}
	contains(t, "stderr", errs, "/nowhere/bridge.yaml: cannot open the file")
}

func TestAConfigurationThatDoesNotFitTheMetadataEndsWith78(t *testing.T) {
	t.Parallel()
	_, url := simulator(t)
	path := file(t, "unfit.yaml", fmt.Sprintf(`org: contoso
webapi: {url: %q}
nats: {embedded: {dir: %q}}
outbound:
  type_prefix: com.contoso.crm
  tables:
    account:
      columns: [name, AccountNumber, nmae]
inbound:
  streams: {ERP: {subjects: [erp.>]}}
  routes:
    erp:
      stream: ERP
      start: all
      table: account
      key: {telephone1: data.phone}
      columns: {nmae: data.name}
`, url, t.TempDir()))
	code, out, errs := once(t, "run", "-c", path, "--log-level", "error")
	if code != 78 || out != "" {
		t.Errorf("code %d, stdout %q", code, out)
	}
	contains(t, "stderr", errs,
		path+":8:23: outbound.tables.account.columns[1]: table account has no column AccountNumber; write accountnumber",
		path+":8:38: outbound.tables.account.columns[2]: table account has no column nmae",
		path+":16:7: inbound.routes.erp.key: ",
		path+":17:17: inbound.routes.erp.columns.nmae: table account has no column nmae",
	)
}

// status asks the admin port.
func status(t *testing.T, addr, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func runConfig(t *testing.T, url, admin string) string {
	t.Helper()
	return file(t, "bridge.yaml", fmt.Sprintf(`org: contoso
webapi: {url: %q}
nats: {embedded: {dir: %q}}
outbound:
  type_prefix: com.contoso.crm
  tables: {account: {columns: [name, accountnumber], poll: 100ms}}
admin: {listen: %q}
`, url, t.TempDir(), admin))
}

func TestRunIsReadyAndStopsCleanlyWhenTold(t *testing.T) {
	t.Parallel()
	_, url := simulator(t)
	admin := freeAddress(t)
	c, ctx := start(t, "run", "-c", runConfig(t, url, admin))
	c.stderr.wait(t, ctx, `"msg":"bridge started"`)
	if code, body := status(t, admin, "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz answers %d: %s", code, body)
	}
	if code, body := status(t, admin, "/status.json"); code != http.StatusOK || !strings.Contains(body, `"table": "account"`) {
		t.Errorf("/status.json answers %d: %s", code, body)
	}
	c.stop()
	if code := c.end(t); code != 0 {
		t.Errorf("code %d after the signal", code)
	}
	contains(t, "stderr", c.stderr.String(), `"msg":"bridge stopped"`)
	if out := c.stdout.String(); out != "" {
		t.Errorf("stdout holds %q: it is for data", out)
	}
	if _, err := http.Get("http://" + admin + "/livez"); err == nil {
		t.Error("the admin port is still open")
	}
}

func TestRunWaitsForCustomerEngagementAndSaysSo(t *testing.T) {
	t.Parallel()
	admin := freeAddress(t)
	c, ctx := start(t, "run", "-c", runConfig(t, "http://"+freeAddress(t), admin))
	c.stderr.wait(t, ctx, `"msg":"waiting to start"`)
	if code, _ := status(t, admin, "/livez"); code != http.StatusOK {
		t.Errorf("/livez answers %d while waiting", code)
	}
	if code, _ := status(t, admin, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d while waiting", code)
	}
	c.stop()
	if code := c.end(t); code != 0 {
		t.Errorf("code %d: the end of a wait is not a failure", code)
	}
}
