package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"text/template"

	"reveille/push/pushsim"
)

// The files in --dir. stateFile keeps all keys, so that phones and servers that
// know them go on after a restart.
const (
	stateFile          = "credentials.pem"
	caFile             = "ca.pem"
	keyFile            = "AuthKey_" + pushsim.KeyID + ".p8"
	serviceAccountFile = "service-account.json"
	vapidFile          = "vapid.pem"
	secretFile         = "webhook.secret"
)

// loadCredentials reads the keys of an earlier run, or makes and keeps new ones.
func loadCredentials(dir string) (*pushsim.Credentials, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	name := filepath.Join(dir, stateFile)
	b, err := os.ReadFile(name)
	switch {
	case err == nil:
		c, err := pushsim.LoadCredentials(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return c, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	c, err := pushsim.NewCredentials()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(name, c.Encode(), 0o600); err != nil {
		return nil, fmt.Errorf("keep credentials: %w", err)
	}
	return c, nil
}

// writeFiles writes what a pusher needs.
func writeFiles(dir string, sim *pushsim.Server) error {
	c := sim.Credentials()
	for name, content := range map[string][]byte{
		caFile:             c.CAPEM(),
		keyFile:            c.KeyP8(),
		serviceAccountFile: sim.ServiceAccountJSON(),
		vapidFile:          c.VAPIDKeyPEM(),
		secretFile:         append(bytes.Clone(c.Secret), '\n'),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("write credentials: %w", err)
		}
	}
	return nil
}

// snippetText is what to put into reveille.yaml.
const snippetText = `# Phones register with, for example:
#   pn-provider=apns;pn-param={{.TeamID}}.{{.BundleID}}.voip;pn-prid=<hexadecimal>
#   pn-provider=fcm;pn-param={{.ProjectID}};pn-prid=<any>
#   pn-provider=webpush;pn-prid={{.Subscription}}
push:
  enabled: true
  apps:
    - name: pnsim-apns
      provider: apns
      param: {{.TeamID}}.*
      apns:
        key_file: {{.Dir}}/{{.KeyFile}}
        key_id: {{.KeyID}}
        team_id: {{.TeamID}}
        host: {{.URL}}
        ca_file: {{.Dir}}/{{.CAFile}}
    - name: pnsim-fcm
      provider: fcm
      param: {{.ProjectID}}
      fcm:
        service_account_file: {{.Dir}}/{{.ServiceAccountFile}}
        endpoint: {{.FCMEndpoint}}
        ca_file: {{.Dir}}/{{.CAFile}}
    - name: pnsim-webpush
      provider: webpush
      webpush:
        vapid_key_file: {{.Dir}}/{{.VAPIDFile}}
        subscriber: mailto:{{.Subscriber}}
        allowed_hosts: ["{{.Host}}"]
        allow_private: true
        ca_file: {{.Dir}}/{{.CAFile}}
    - name: pnsim-webhook
      provider: pnsim
      webhook:
        url: {{.Hook}}
        secret_file: {{.Dir}}/{{.SecretFile}}
        ca_file: {{.Dir}}/{{.CAFile}}
`

// snippet makes the push.apps for this server.
func snippet(dir string, sim *pushsim.Server) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find directory: %w", err)
	}
	host, _, err := net.SplitHostPort(sim.Addr().String())
	if err != nil {
		return "", fmt.Errorf("read address: %w", err)
	}
	t, err := template.New("snippet").Parse(snippetText)
	if err != nil {
		return "", fmt.Errorf("parse snippet: %w", err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]string{
		"Dir": filepath.ToSlash(dir), "CAFile": caFile, "KeyFile": keyFile, "ServiceAccountFile": serviceAccountFile,
		"VAPIDFile": vapidFile, "SecretFile": secretFile,
		"TeamID": pushsim.TeamID, "KeyID": pushsim.KeyID, "BundleID": pushsim.BundleID, "ProjectID": pushsim.ProjectID,
		"Subscriber": pushsim.Subscriber, "URL": sim.URL(), "FCMEndpoint": sim.FCMEndpoint(), "Host": host,
		"Hook": sim.HookURL("phone"), "Subscription": sim.SubscriptionURL("any"),
	})
	if err != nil {
		return "", fmt.Errorf("make snippet: %w", err)
	}
	return b.String(), nil
}
