//go:build kafka

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// tokenServer gives tokens for client credentials, signed with a key that the
// broker knows.
type tokenServer struct {
	url  string // the endpoint; tokens of /short live for a few seconds
	keys string // URL of the file with the key
	key  *ecdsa.PrivateKey
	// short counts tokens of /short.
	short atomic.Int64
}

// shortLife is that of the tokens of /short.
const shortLife = 5 * time.Second

func newTokenServer(dir string) (*tokenServer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return nil, err
	}
	keys, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "test", "x": base64url(public[1:33]), "y": base64url(public[33:]),
	}}})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "jwks.json")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		return nil, err
	}
	s := &tokenServer{key: key, keys: (&url.URL{Scheme: "file", Path: file}).String()}
	s.url = httptest.NewServer(s).URL + "/token"
	return s, nil
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	id, secret, _ := r.BasicAuth()
	secret, _ = url.QueryUnescape(secret) // RFC 6749, section 2.3.1
	if r.FormValue("grant_type") != "client_credentials" || id != "starplan" || secret != clientSecret {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client","error_description":"no such client, or wrong secret"}`)
		return
	}
	life := time.Hour
	if strings.HasPrefix(r.URL.Path, "/short") {
		s.short.Add(1)
		life = shortLife
	}
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":%d}`, s.token(id, life), int(life.Seconds()))
}

// token makes a JSON Web Token (RFC 7519).
func (s *tokenServer) token(subject string, life time.Duration) string {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"sub": subject, "aud": "kafka", "iat": now.Unix(), "exp": now.Add(life).Unix(), "scope": "kafka"})
	if err != nil {
		panic(err)
	}
	text := base64url([]byte(`{"alg":"ES256","kid":"test","typ":"JWT"}`)) + "." + base64url(claims)
	sum := sha256.Sum256([]byte(text))
	a, b, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + base64url(append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...))
}
