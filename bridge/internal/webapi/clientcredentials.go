package webapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// ClientCredentialsConfig is an application's registration with an identity
// provider: Microsoft Entra, or AD FS in front of an on-premises server.
type ClientCredentialsConfig struct {
	TokenEndpoint
	ClientID string
	// ClientSecret, or CertificateFile and KeyFile: what proves who we are.
	ClientSecret string
	// CertificateFile holds the registered certificate in PEM, KeyFile its private
	// RSA key in PEM (PKCS #8 or PKCS #1, not encrypted); "" means that it stands in
	// CertificateFile too. Both are read again for every token, so that they can be
	// replaced while the program runs.
	CertificateFile, KeyFile string
	// URL is the organization's address, as in Config. It gives the default Scope:
	// <origin>/.default.
	URL   string
	Scope string
	// Params are further form fields: resource, for AD FS.
	Params url.Values
}

// ClientCredentials authorizes requests with tokens of the OAuth 2.0 client
// credentials grant. Sources: "OAuth 2.0 client credentials flow on the Microsoft
// identity platform", "Use OAuth authentication with Microsoft Dataverse".
type ClientCredentials struct{ *tokenLogin }

// NewClientCredentials checks the registration; it sends nothing.
func NewClientCredentials(cfg ClientCredentialsConfig) (*ClientCredentials, error) {
	switch err := cfg.check(); {
	case err != nil:
		return nil, err
	case cfg.ClientID == "":
		return nil, errors.New("client id: it is empty")
	case cfg.ClientSecret == "" && cfg.CertificateFile == "":
		return nil, errors.New("client secret: it is empty")
	case cfg.ClientSecret != "" && cfg.CertificateFile != "":
		return nil, errors.New("client secret: give either a secret or a certificate")
	}
	if cfg.Scope == "" && cfg.Params.Get("resource") == "" {
		r, err := newRoot(cfg.URL, DefaultVersion)
		if err != nil {
			return nil, fmt.Errorf("token scope: %w", err)
		}
		cfg.Scope = r.origin() + "/.default"
	}
	conf := clientcredentials.Config{ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, TokenURL: cfg.TokenURL,
		EndpointParams: cfg.Params, AuthStyle: oauth2.AuthStyleInParams}
	if cfg.Scope != "" {
		conf.Scopes = []string{cfg.Scope}
	}
	a, err := cfg.newLogin(cfg.ClientSecret)
	if err != nil {
		return nil, err
	}
	a.ask = conf.Token
	if cfg.CertificateFile == "" {
		return &ClientCredentials{a}, nil
	}
	files := certificateFiles{certificate: cfg.CertificateFile, key: cfg.KeyFile}
	signer, err := files.load()
	if err != nil {
		return nil, err
	}
	// Called by one renewal at a time.
	a.ask = func(ctx context.Context) (*oauth2.Token, error) {
		// Files that are being replaced may not fit together for a moment.
		if fresh, err := files.load(); err == nil {
			signer = fresh
		}
		assertion, err := signer.assertion(cfg.ClientID, cfg.TokenURL, time.Now())
		if err != nil {
			return nil, err
		}
		signed := conf
		signed.EndpointParams = url.Values{}
		maps.Copy(signed.EndpointParams, cfg.Params)
		signed.EndpointParams.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		signed.EndpointParams.Set("client_assertion", assertion)
		return signed.Token(ctx)
	}
	return &ClientCredentials{a}, nil
}
