// Package deploy holds what lies in the folder deploy to the server: the unit, the
// package and the container to its paths and times, the dashboard and the alarms to
// its metrics. The make targets package-check, deb-check, image-check and
// dashboards-check have other programs look at the same files.
package deploy
