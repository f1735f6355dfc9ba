package sim

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheLoginMustFitTheProfile(t *testing.T) {
	t.Parallel()
	user := Auth{User: `CONTOSO\u`, Password: "p"}
	with := func(a Auth, m AuthMethod) Auth { a.Method = m; return a }
	app := Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "s"}
	for name, c := range map[string]struct {
		o  Options
		ok bool
	}{
		"none":                  {Options{}, true},
		"application online":    {Options{Auth: app}, true},
		"application on-prem":   {Options{Auth: app, Profile: OnPremises}, false},
		"windows on-prem":       {Options{Auth: with(user, AuthNTLM), Profile: OnPremises}, true},
		"windows online":        {Options{Auth: with(user, AuthNTLM)}, false},
		"federation on-prem":    {Options{Auth: with(user, AuthADFS), Profile: OnPremises}, true},
		"federation online":     {Options{Auth: with(user, AuthADFS)}, false},
		"nobody":                {Options{Auth: Auth{Method: AuthNTLM}, Profile: OnPremises}, false},
		"no secret":             {Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app"}}, false},
		"unknown":               {Options{Auth: Auth{Method: "kerberos"}}, false},
		"not a certificate":     {Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", Certificate: []byte("x")}}, false},
		"no room for a request": {Options{Auth: Auth{RequestsPerConnection: 2}}, false},
		"close rate too large":  {Options{Auth: Auth{CloseRate: 2}}, false},
		"tenant with a slash":   {Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "s", Tenant: "a/b"}}, false},
	} {
		s, err := New(c.o)
		if err == nil {
			_ = s.Close()
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The API is closed as a whole, the simulator's own API is not.
func TestNothingOfTheAPIIsServedWithoutALogin(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}})
	for _, path := range []string{"", "$metadata", "accounts", "accounts(accountnumber='1')", "$batch", "WhoAmI", "nonsense", "../x"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
			a := send(t, s, method, path, "")
			if a.status != http.StatusUnauthorized {
				t.Errorf("%s %s: %d", method, path, a.status)
			}
			want := "Bearer authorization_uri=http://org.example/contoso.example/oauth2/authorize, resource_id=http://org.example/"
			if got := a.header.Get("WWW-Authenticate"); got != want {
				t.Errorf("challenge %q", got)
			}
		}
	}
	if a := sendURL(t, s, "GET", "http://org.example/api/discovery/?SDKClientVersion=9.1", ""); a.status != http.StatusUnauthorized {
		t.Errorf("discovery: %d", a.status)
	}
	if a := sendURL(t, s, "GET", "http://org.example/sim/stats", ""); a.status != http.StatusOK {
		t.Errorf("/sim/: %d", a.status)
	}
	if n := s.AuthCounts(); n.Challenges != 33 || n.Tokens != 0 {
		t.Errorf("%+v", n)
	}
}

func TestRevokedTokensAreRefusedOverHTTPToo(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}})
	token := tokenOf(t, s, entraForm())
	send(t, s, "GET", "WhoAmI", "", "Authorization: Bearer "+token).want(t, 200, "")
	if a := sendURL(t, s, http.MethodDelete, "http://org.example/sim/auth/tokens", ""); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a := send(t, s, "GET", "WhoAmI", "", "Authorization: Bearer "+token)
	if a.status != 401 || !strings.Contains(a.header.Get("WWW-Authenticate"), "error=invalid_token") {
		t.Errorf("%d %v", a.status, a.header)
	}
	a = sendURL(t, s, "GET", "http://org.example/sim/auth", "")
	if a.status != 200 || !strings.Contains(a.body, `"tokens":1`) || !strings.Contains(a.body, `"challenges":1`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := sendURL(t, s, "POST", "http://org.example/sim/auth", ""); a.status != 404 {
		t.Errorf("%d", a.status)
	}
}

func TestFaultsLeaveTheTokenEndpointAloneUnlessNamed(t *testing.T) {
	t.Parallel()
	f := NewFaults(1)
	f.Add(Rule{Kind: FaultServerError, Method: http.MethodPost})
	s := newTestServer(t, Options{Faults: f, Auth: Auth{Method: AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}})
	tokenOf(t, s, entraForm())
	f.Add(Rule{Kind: FaultServerError, PathContains: "/oauth2/v2.0/token", Times: 1})
	if status, _ := askToken(t, s, "/contoso.example/oauth2/v2.0/token", entraForm()); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	tokenOf(t, s, entraForm())
}

// A handler on a foreign server has no connections to log in.
func TestWindowsLoginNeedsTheServersOwnConnections(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{Profile: OnPremises, Auth: Auth{Method: AuthNTLM, User: `CONTOSO\u`, Password: "p"}})
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://crm/contoso/api/data/v9.1/WhoAmI", nil))
	if got := w.Header().Values("WWW-Authenticate"); w.Code != 401 || len(got) != 2 || got[0] != "Negotiate" || got[1] != "NTLM" {
		t.Errorf("%d %v", w.Code, got)
	}
}
