package bridge

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/bridge/sim"
)

func pullFrom(t *testing.T, o sim.Options) (*sim.Server, WebAPIConfig) {
	t.Helper()
	s, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := DefaultConfig().WebAPI
	cfg.URL, cfg.Version = url, "v9.1"
	return s, cfg
}

func TestASchemaIsPulledFromEitherProfileWithItsLogin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options sim.Options
		login   func(cfg *WebAPIConfig)
	}{
		"none": {sim.Options{}, func(*WebAPIConfig) {}},
		"client credentials": {
			sim.Options{Auth: sim.Auth{Method: sim.AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}},
			func(cfg *WebAPIConfig) {
				cfg.Auth = AuthConfig{Method: AuthClientCredentials, TokenURL: cfg.URL + "/contoso.example/oauth2/v2.0/token", ClientID: "app", ClientSecret: NewSecret("secret")}
			},
		},
		"ntlm": {
			sim.Options{Profile: sim.OnPremises, Auth: sim.Auth{Method: sim.AuthNTLM, User: `CONTOSO\svc`, Password: "secret"}},
			func(cfg *WebAPIConfig) {
				cfg.Auth = AuthConfig{Method: AuthNTLM, User: `CONTOSO\svc`, Password: NewSecret("secret")}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, cfg := pullFrom(t, c.options)
			c.login(&cfg)
			got, err := PullSchema(t.Context(), cfg, []string{"sample_book"}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, table := range got.Tables {
				names = append(names, table.LogicalName)
			}
			if want := []string{"businessunit", "sample_book", "systemuser", "team"}; !slices.Equal(names, want) {
				t.Errorf("tables %v, want %v", names, want)
			}
		})
	}
}

func TestAPulledSchemaIsWhatItsFileSays(t *testing.T) {
	t.Parallel()
	_, cfg := pullFrom(t, sim.Options{})
	got, err := PullSchema(t.Context(), cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	got.Notes = []string{"table x: column y is left out"}
	data, err := got.YAML()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := sim.LoadSchema(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got.Tables, loaded); diff != "" {
		t.Errorf("(-pulled +loaded):\n%s", diff)
	}
	if !strings.Contains(string(data), "# table x: column y is left out\n") {
		t.Error("the file does not say what was left out")
	}
}

func TestPullSaysThatTheServerCannotBeReached(t *testing.T) {
	t.Parallel()
	_, cfg := pullFrom(t, sim.Options{Auth: sim.Auth{Method: sim.AuthClientCredentials, ClientID: "app", ClientSecret: "secret"}})
	if _, err := PullSchema(t.Context(), cfg, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "read the schema") {
		t.Errorf("without a login: %v", err)
	}
	cfg.Auth.Method = "kerberos"
	if _, err := PullSchema(t.Context(), cfg, nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an unknown login was accepted")
	}
}

func TestTheTablesOfAConfigurationAreThoseItNames(t *testing.T) {
	t.Parallel()
	cfg := Config{Outbound: OutboundConfig{Tables: []TableConfig{{Table: "contact"}, {Table: "account"}, {Table: "contact"}}}}
	if got := cfg.Tables(); !slices.Equal(got, []string{"account", "contact"}) {
		t.Errorf("tables %v", got)
	}
}
