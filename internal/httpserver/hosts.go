package httpserver

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
)

// hostGuard refuses what a browser was led to by a name that is not ours. A page
// of another site can point its own name at our address (DNS rebinding) and is
// then, to the browser, of our origin: it may read and post. The name stays in the
// Host header, and an address there was not rebound.
//
// Who speaks to a loopback address has to use a known name at all times: behind it
// is a developer's browser. Elsewhere a name is what a cluster or a proxy calls the
// service, which is not known here; reads are open there, and a POST of a browser
// is not.
func (o Options) hostGuard(next http.Handler) http.Handler {
	known := append([]string{"localhost"}, o.Hosts...)
	if name, err := os.Hostname(); err == nil {
		known = append(known, name)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guarded := onLoopback(r) || r.Method != http.MethodGet && fromBrowser(r)
		if guarded && !knownHost(r.Host, known) {
			o.write(w, http.StatusForbidden, map[string]string{
				"error": fmt.Sprintf("the host %q is not known here; use an address or localhost, or name it in HTTP_HOSTS", r.Host),
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func onLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// fromBrowser tells by headers that scripts cannot leave out: browsers put Origin
// on every POST.
func fromBrowser(r *http.Request) bool {
	return r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
}

// knownHost accepts addresses, known names and names below localhost.
func knownHost(hostport string, known []string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if net.ParseIP(strings.Trim(host, "[]")) != nil || strings.HasSuffix(host, ".localhost") {
		return true
	}
	return slices.ContainsFunc(known, func(name string) bool { return strings.EqualFold(name, host) })
}
