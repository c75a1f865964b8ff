package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"reveille/configs"
)

// doubts are what looks wrong about the credentials of push apps, beyond what
// the configuration alone tells: one sentence each. What cannot be read is told
// by Check.
func doubts(cfg configs.Push, now time.Time) (all []string) {
	if !cfg.Enabled {
		return nil
	}
	for _, app := range cfg.Apps {
		c, err := readCredential(app)
		if err != nil {
			continue
		}
		say := func(key, format string, args ...any) {
			all = append(all, "push.apps["+app.Name+"]."+key+": "+fmt.Sprintf(format, args...))
		}
		switch {
		case app.FCM != nil:
			doubtProject(app, c.file("fcm.service_account_file"), say)
		case app.APNs != nil && app.APNs.P12File != "":
			// What is in a PEM file was looked at by configs.Load.
			cert, err := apnsCertificate(app.APNs, c)
			if err != nil {
				continue
			}
			end := cert.Leaf.NotAfter
			switch day := end.UTC().Format(time.DateOnly); {
			case now.After(end):
				say("apns.p12_file", "%s expired on %s; Apple refuses it: make a new one", app.APNs.P12File, day)
			case now.Add(credentialSoon).After(end):
				say("apns.p12_file", "%s expires on %s; make a new one soon", app.APNs.P12File, day)
			}
		}
	}
	return all
}

// doubtProject compares the three places that name a Firebase project.
func doubtProject(app configs.App, f credentialFile, say func(key, format string, args ...any)) {
	var account struct {
		ProjectID string `json:"project_id"`
	}
	if json.Unmarshal(f.content, &account) != nil || account.ProjectID == "" {
		return
	}
	project := account.ProjectID
	if p := app.FCM.Project; p != "" && p != project {
		say("fcm.project", "is %q, the service account in %s is of %q; FCM refuses its pushes unless it was given rights there: remove the key", p, f.path, project)
		project = p
	}
	// RFC 8599 §11: pn-param is the project's identifier. Some apps send its
	// number, which is in no file.
	fixed := app.Param != "" && !strings.Contains(app.Param, "*")
	if number := strings.Trim(app.Param, "0123456789") == ""; strings.EqualFold(app.Provider, "fcm") && fixed && !number && app.Param != project {
		say("param", "is %q, the credential of project %q; tokens of another project are refused as SENDER_ID_MISMATCH: is it the right key?", app.Param, project)
	}
}
