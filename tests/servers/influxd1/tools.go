//go:build tools

package influxd1

import _ "github.com/influxdata/influxdb/cmd/influxd"
