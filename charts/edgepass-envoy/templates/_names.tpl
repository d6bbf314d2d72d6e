{{- define "edgepass.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}
{{- define "edgepass.account" -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- end }}
{{- define "edgepass.metadata" -}}
name: {{ .Release.Name | quote }}
namespace: {{ .Release.Namespace | quote }}
labels:
  {{- include "edgepass.labels" . | nindent 2 }}
{{- end }}
