package pjsip

import "strings"

// security is what a listener for TLS needs.
type security struct {
	certFile, keyFile, clientCA, serverCA string
	clients                               string // client_auth, "" for none
	min                                   string // min_version, "" for 1.2
}

// secure takes over the files and options of TLS. A listener whose files cannot
// be read here is left for the operator to complete.
func (p *planner) secure(s *Section, l *listener) {
	t := &security{certFile: s.Value("cert_file"), keyFile: s.Value("priv_key_file")}
	l.tls = t
	if t.certFile == "" {
		p.notes.section(s, "names no cert_file", "complete the listener that stands as a comment")
		l.sketch, t.certFile = true, "sip.example.com.pem"
	}
	authorities := s.Value("ca_list_file")
	if truth(s.Value("verify_server")) {
		t.serverCA = authorities
	} else {
		p.notes.section(s, "certificates of servers that are called are always verified", "name their authorities in server_ca_file")
	}
	p.clients(s, t, authorities)
	p.version(s, t)
	for _, file := range []string{t.certFile, t.keyFile, t.clientCA, t.serverCA} {
		if file != "" && !l.sketch && !p.readable(file) {
			p.notes.section(s, "its certificates or keys cannot be read here", "put them in place and complete the listener that stands as a comment")
			l.sketch = true
		}
	}
	for _, name := range []string{"ca_list_path", "cipher"} {
		if o, ok := s.Last(name); ok && o.Value != "" {
			p.notes.option(o, "has no counterpart in this form", "see tls.client_ca_file, tls.server_ca_file and tls.ciphers")
		}
	}
}

// clients says whether phones are asked for certificates.
func (p *planner) clients(s *Section, t *security, authorities string) {
	asked, must := truth(s.Value("verify_client")), truth(s.Value("require_client_cert"))
	switch {
	case !asked && !must:
		return
	case authorities == "":
		p.notes.section(s, "asks clients for certificates, but no ca_list_file says whose", "")
		return
	case must:
		t.clients = "require"
	default:
		t.clients = "request"
	}
	t.clientCA = authorities
}

// version takes over the oldest version. Before 1.2 there is none to be had.
func (p *planner) version(s *Section, t *security) {
	o, ok := s.Last("method")
	if !ok {
		return
	}
	switch strings.ToLower(o.Value) {
	case "tlsv1_3":
		t.min = "1.3"
	case "tlsv1_2", "default", "":
	default:
		p.notes.option(o, "versions before TLS 1.2 are not spoken", "")
	}
}
