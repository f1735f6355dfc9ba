package webapi

import (
	"errors"
	"net/url"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// ADFSConfig is a user of Active Directory Federation Services in front of an
// on-premises server (an internet-facing deployment).
type ADFSConfig struct {
	TokenEndpoint
	// ClientID is that of the registered native application; ClientSecret is for a
	// confidential one and may be empty.
	ClientID, ClientSecret string
	User, Password         string
	// Resource is the identifier of the relying party: the organization's URL as
	// AD FS knows it.
	Resource string
}

// ADFS authorizes requests with tokens that AD FS issues for a user's name and
// password. Sources: "Use OAuth with Customer Engagement Web API" (on-premises
// guide) for OAuth behind AD FS and the registration; that service accounts use the
// password grant with a resource is what public clients do.
type ADFS struct{ *tokenLogin }

// NewADFS checks the settings; it sends nothing.
func NewADFS(cfg ADFSConfig) (*ADFS, error) {
	switch err := cfg.check(); {
	case err != nil:
		return nil, err
	case cfg.ClientID == "":
		return nil, errors.New("client id: it is empty")
	case cfg.User == "" || cfg.Password == "":
		return nil, errors.New("user and password: one is empty")
	case cfg.Resource == "":
		return nil, errors.New("resource: it is empty; give the organization's URL as AD FS knows it")
	}
	conf := clientcredentials.Config{ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, TokenURL: cfg.TokenURL,
		AuthStyle: oauth2.AuthStyleInParams, EndpointParams: url.Values{
			"grant_type": {"password"}, "username": {cfg.User}, "password": {cfg.Password}, "resource": {cfg.Resource},
		}}
	a, err := cfg.newLogin(cfg.ClientSecret, cfg.Password)
	if err != nil {
		return nil, err
	}
	a.ask = conf.Token
	return &ADFS{a}, nil
}
