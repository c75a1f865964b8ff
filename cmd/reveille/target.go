package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"reveille/configs"
)

// What names the server if no flag does, in this order.
const (
	envServer     = "REVEILLE_SERVER"
	envConfig     = "REVEILLE_CONFIG"
	envToken      = "REVEILLE_TOKEN_FILE"
	defaultConfig = "/etc/reveille/reveille.yaml"
)

// A target says which server a command is about: one on this machine, by its
// configuration or its store, or one that is reached over the network.
type target struct {
	config, store, server        string
	tokenFile, cert, key, caCert string
}

// flags adds the flags that name a running server.
func (t *target) flags(cmd *cobra.Command) {
	t.localFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&t.server, "server", "", "URL of a server on another machine, such as https://sip.example.com:8443 ("+envServer+")")
	f.StringVar(&t.tokenFile, "token-file", "", "with --server: a file that holds the token of http.tokens ("+envToken+")")
	f.StringVar(&t.cert, "cert", "", "with --server: the client certificate, PEM")
	f.StringVar(&t.key, "key", "", "with --server: its key, PEM")
	f.StringVar(&t.caCert, "cacert", "", "with --server: who signed the server's certificate, PEM; without it the machine's list")
	for _, name := range []string{"token-file", "cert", "key", "cacert"} {
		markFile(cmd, name)
	}
}

// localFlags adds those that name a server on this machine.
func (t *target) localFlags(cmd *cobra.Command) {
	configFlag(cmd, t)
	cmd.Flags().StringVar(&t.store, "store", "", "store.dir of a server that leaves control.socket and push.purr.key_file at their defaults")
	// The flag was added above.
	_ = cmd.MarkFlagDirname("store")
}

// configFlag adds the flag that names a configuration.
func configFlag(cmd *cobra.Command, t *target) {
	cmd.Flags().StringVar(&t.config, "config", "", "the server's configuration file ("+envConfig+", or "+defaultConfig+")")
	markFile(cmd, "config", "yaml", "yml")
}

// markFile has shells complete a flag by names of files.
func markFile(cmd *cobra.Command, flag string, extensions ...string) {
	// The caller has added the flag.
	_ = cmd.MarkFlagFilename(flag, extensions...)
}

// named returns t with what the environment says if no flag names a server.
func (p program) named(t target) (target, error) {
	n := 0
	for _, s := range []string{t.config, t.store, t.server} {
		if s != "" {
			n++
		}
	}
	if n > 1 {
		return t, usageError{errors.New("name the server by one of --config FILE, --store DIR and --server URL")}
	}
	if n == 0 {
		server, config := p.env(envServer), p.env(envConfig)
		switch {
		case server != "" && config != "":
			return t, usageError{fmt.Errorf("%s and %s name two servers; unset one, or name the server by a flag", envServer, envConfig)}
		case server != "":
			t.server = server
		case config != "":
			t.config = config
		case isFile(p.defaultConfig):
			t.config = p.defaultConfig
		default:
			return t, usageError{fmt.Errorf("name the server by --config FILE, --store DIR or --server URL, or in the environment by %s or %s", envConfig, envServer)}
		}
	}
	switch {
	case t.server == "" && (t.tokenFile != "" || t.cert != "" || t.key != "" || t.caCert != ""):
		return t, usageError{errors.New("--token-file, --cert, --key and --cacert are for --server URL; the control socket needs none of them")}
	case (t.cert == "") != (t.key == ""):
		return t, usageError{errors.New("--cert and --key belong together")}
	case t.server != "" && t.tokenFile == "":
		t.tokenFile = p.env(envToken)
	}
	return t, nil
}

// env is a variable of the environment, empty if it is not set.
func (p program) env(name string) string {
	if p.lookupEnv == nil {
		return ""
	}
	value, _ := p.lookupEnv(name)
	return value
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return name != "" && err == nil && info.Mode().IsRegular()
}

// stored returns the configuration of a server on this machine: that in a file, or
// the default one with a store in a folder.
func (p program) stored(t target) (*configs.Config, error) {
	t, err := p.named(t)
	if err != nil {
		return nil, err
	}
	switch {
	case t.server != "":
		return nil, usageError{errors.New("this is about files of the server's machine: name it by --config FILE or --store DIR there")}
	case t.store == "":
		// Its warnings were for serve and check.
		cfg, _, err := configs.Load(t.config, configs.Env{Lookup: p.lookupEnv})
		return cfg, err
	}
	dir, err := filepath.Abs(t.store)
	if err != nil {
		return nil, err
	}
	cfg := configs.Default()
	cfg.Store.Dir = configs.Folder(dir)
	return cfg, nil
}

// reach returns the way to the server that t names.
func (p program) reach(t target) (control, error) {
	t, err := p.named(t)
	if err != nil {
		return control{}, err
	}
	if t.server != "" {
		return t.remote()
	}
	cfg, err := p.stored(t)
	if err != nil {
		return control{}, err
	}
	socket := cfg.ControlSocket()
	if socket == "" {
		return control{}, errNoSocket
	}
	return controlOn(socket), nil
}

// remote returns the way to a server over the network.
func (t target) remote() (control, error) {
	base, err := serverURL(t.server)
	if err != nil {
		return control{}, usageError{err}
	}
	var token string
	if t.tokenFile != "" {
		if token, err = readSecret(t.tokenFile, nil); err != nil {
			return control{}, fmt.Errorf("read the token: %w", err)
		}
		if base.Scheme != "https" && !onLoopback(base.Hostname()) {
			return control{}, usageError{fmt.Errorf("anybody on the way could read the token; hint: write https://%s", base.Host)}
		}
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return control{}, fmt.Errorf("read --cert %s and --key %s: %w", t.cert, t.key, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	if t.caCert != "" {
		text, err := os.ReadFile(t.caCert)
		if err != nil {
			return control{}, fmt.Errorf("read --cacert: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return control{}, fmt.Errorf("read --cacert %s: it holds no certificate in PEM", t.caCert)
		}
	}
	return controlAt(base, cfg, token), nil
}

// serverURL reads --server.
func serverURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" && !strings.Contains(s, "://"):
		return nil, fmt.Errorf("%q is no URL of a server; hint: write https://HOST:PORT", visible(s))
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%q is neither https nor http; hint: write https://HOST:PORT", visible(s))
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q is more than a server; hint: write https://HOST:PORT", visible(s))
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func onLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// isMissing reports whether err says that there is no such file.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
