package webapi

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// assertionLife is how long a client assertion is good: long enough for clocks that
// differ, short enough to be worthless soon.
const assertionLife = 10 * time.Minute

// maxPEM bounds a file with certificates or a key.
const maxPEM = 1 << 20

// certificateFiles names the files of a certificate and its key.
type certificateFiles struct{ certificate, key string }

// signer signs client assertions with the key of a certificate.
type signer struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

// load reads both files. Errors name the file and never show its content.
func (f certificateFiles) load() (*signer, error) {
	text, err := readPEM(f.certificate)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	block := findPEM(text, "CERTIFICATE")
	if block == nil {
		return nil, fmt.Errorf("client certificate: %s holds no PEM block CERTIFICATE", f.certificate)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %s: %w", f.certificate, err)
	}
	keyFile := f.key
	if keyFile == "" {
		keyFile = f.certificate
	} else if text, err = readPEM(keyFile); err != nil {
		return nil, fmt.Errorf("client certificate's key: %w", err)
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("client certificate's key: %s: %w", keyFile, err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("client certificate: the key in %s is not the one of the certificate in %s", keyFile, f.certificate)
	}
	return &signer{cert: cert, key: key}, nil
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(text) > maxPEM {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxPEM)
	}
	return text, err
}

func findPEM(text []byte, kinds ...string) *pem.Block {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil
		}
		for _, kind := range kinds {
			if block.Type == kind {
				return block
			}
		}
	}
}

func parseKey(text []byte) (*rsa.PrivateKey, error) {
	if findPEM(text, "ENCRYPTED PRIVATE KEY") != nil || bytes.Contains(text, []byte("Proc-Type: 4,ENCRYPTED")) {
		return nil, errors.New("the key is encrypted; decrypt it and protect the file instead")
	}
	block := findPEM(text, "PRIVATE KEY", "RSA PRIVATE KEY")
	if block == nil {
		return nil, errors.New("no PEM block PRIVATE KEY or RSA PRIVATE KEY found")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the key cannot be read as PKCS #8 or PKCS #1")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is not RSA, which the identity platform asks for")
	}
	return key, nil
}

// assertion makes a JWT that proves possession of the key to one endpoint, once.
// Source: "Microsoft identity platform application authentication certificate
// credentials", which asks for PS256 and the thumbprint x5t#S256.
func (s *signer) assertion(clientID, endpoint string, now time.Time) (string, error) {
	thumbprint := sha256.Sum256(s.cert.Raw)
	t := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.MapClaims{
		"aud": endpoint, "iss": clientID, "sub": clientID, "jti": uuid.NewString(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	t.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(thumbprint[:])
	signed, err := t.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign the client assertion: %w", err)
	}
	return signed, nil
}
