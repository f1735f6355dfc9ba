package webapi

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"cebridge/bridge/internal/http1"
)

func TestTheDirectTransportIsTakenOnlyWhereNothingElseIsNeeded(t *testing.T) {
	t.Parallel()
	if !http1.Supported {
		t.Skip("this system has net/http's transport only")
	}
	proxy, err := url.Parse("http://proxy.contoso.example:3128")
	if err != nil {
		t.Fatal(err)
	}
	own := roundTripper(nil)
	for name, c := range map[string]struct {
		cfg    Config
		direct bool
	}{
		"nothing asked for": {Config{}, true},
		"HTTP/2":            {Config{HTTP2: true}, false},
		"a proxy":           {Config{ProxyURL: proxy}, false},
		"own":               {Config{Transport: own}, false},
	} {
		c.cfg.URL = "https://contoso.crm4.dynamics.com"
		client, err := New(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, direct := client.transport.(*http1.Pool); direct != c.direct {
			t.Errorf("%s: %T", name, client.transport)
		}
		client.Close()
	}
}

// TestTheProxyOfTheEnvironmentDecides runs itself with other environments, for net/http
// reads the environment once in a process.
func TestTheProxyOfTheEnvironmentDecides(t *testing.T) {
	t.Parallel()
	const role = "CEBRIDGE_TEST_PROXY"
	if want, child := os.LookupEnv(role); child {
		client, err := New(Config{URL: "https://contoso.crm4.dynamics.com", ProxyFromEnvironment: true})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		_, standard := client.transport.(*http.Transport)
		if standard != (want == "net/http" || !http1.Supported) {
			t.Errorf("%T", client.transport)
		}
		return
	}
	for name, c := range map[string]struct{ proxy, no, want string }{
		"none":              {"", "", "direct"},
		"one":               {"http://127.0.0.1:1", "", "net/http"},
		"one for others":    {"http://127.0.0.1:1", ".dynamics.com", "direct"},
		"one that is wrong": {"http://127.0.0.1:x:y", "", "net/http"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=60s")
		for _, e := range os.Environ() {
			if n, _, _ := strings.Cut(e, "="); !strings.HasSuffix(strings.ToLower(n), "_proxy") {
				cmd.Env = append(cmd.Env, e)
			}
		}
		cmd.Env = append(cmd.Env, "HTTPS_PROXY="+c.proxy, "NO_PROXY="+c.no, role+"="+c.want)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
