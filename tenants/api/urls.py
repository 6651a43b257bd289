"""The addresses of the API, below /api/v1/. `api.access.ROUTES` says who may do what there.

Those of what was collected are `observability.api.urls`; the console puts both together.
"""

from django.urls import path

from tenants.api.views import (
    credentials,
    ensembles,
    jobs,
    me,
    members,
    people,
    plans,
    policy,
    requests,
    schema,
    tenants,
    tokens,
    znodes,
)

TENANT = "tenants/<slug:slug>"
CREDENTIAL = f"{TENANT}/credentials/<str:name>"
ENSEMBLE = "ensembles/<slug:name>"
REQUEST = "requests/<int:number>"
JOB = "jobs/<str:key>"
PERSON = "people/<str:username>"

urlpatterns = [
    path("me", me.Me.as_view(), name="me"),
    path("schema", schema.SchemaView.as_view(), name="schema"),
    path("tokens", tokens.Tokens.as_view(), name="tokens"),
    path("tokens/<str:prefix>", tokens.Token.as_view(), name="token"),
    path("plans", plans.Plans.as_view(), name="plans"),
    path("plans/<slug:name>", plans.PlanView.as_view(), name="plan"),
    path("plans/<slug:name>/retire", plans.PlanRetire.as_view(), name="plan-retire"),
    path("tenants", tenants.Tenants.as_view(), name="tenants"),
    path(TENANT, tenants.TenantView.as_view(), name="tenant"),
    path(f"{TENANT}/mode", tenants.TenantMode.as_view(), name="tenant-mode"),
    path(f"{TENANT}/plan", tenants.TenantPlan.as_view(), name="tenant-plan"),
    path(f"{TENANT}/limits", tenants.TenantLimits.as_view(), name="tenant-limits"),
    path(f"{TENANT}/suspend", tenants.TenantSuspend.as_view(), name="tenant-suspend"),
    path(f"{TENANT}/drain", tenants.TenantDrain.as_view(), name="tenant-drain"),
    path(f"{TENANT}/resume", tenants.TenantResume.as_view(), name="tenant-resume"),
    path(f"{TENANT}/throttle", tenants.TenantThrottle.as_view(), name="tenant-throttle"),
    path(f"{TENANT}/restore", tenants.TenantRestore.as_view(), name="tenant-restore"),
    path(f"{TENANT}/purge", tenants.TenantPurge.as_view(), name="tenant-purge"),
    path(f"{TENANT}/publication", tenants.TenantPublication.as_view(), name="tenant-publication"),
    path(f"{TENANT}/members", members.Members.as_view(), name="members"),
    path(f"{TENANT}/members/<str:username>", members.Member.as_view(), name="member"),
    path(f"{TENANT}/invitations", members.Invitations.as_view(), name="invitations"),
    path(f"{TENANT}/invitations/<int:number>", members.InvitationView.as_view(), name="invitation"),
    path("invitations/accept", members.InvitationAccept.as_view(), name="invitation-accept"),
    path(f"{TENANT}/credentials", credentials.Credentials.as_view(), name="credentials"),
    path(CREDENTIAL, credentials.CredentialView.as_view(), name="credential"),
    path(f"{CREDENTIAL}/rotate", credentials.CredentialRotate.as_view(), name="credential-rotate"),
    path(
        f"{CREDENTIAL}/subjects",
        credentials.CredentialSubjects.as_view(),
        name="credential-subjects",
    ),
    path(f"{TENANT}/znodes", znodes.TenantZnodes.as_view(), name="tenant-znodes"),
    path(f"{TENANT}/znodes/children", znodes.TenantChildren.as_view(), name="tenant-children"),
    path(f"{TENANT}/znodes/acl", znodes.TenantAcl.as_view(), name="tenant-acl"),
    path(f"{TENANT}/jobs", jobs.TenantJobs.as_view(), name="tenant-jobs"),
    path(f"{ENSEMBLE}/jobs", jobs.EnsembleJobs.as_view(), name="ensemble-jobs"),
    path("jobs", jobs.Jobs.as_view(), name="jobs"),
    path(JOB, jobs.JobView.as_view(), name="job"),
    path(f"{JOB}/confirm", jobs.JobConfirm.as_view(), name="job-confirm"),
    path(f"{JOB}/resume", jobs.JobResume.as_view(), name="job-resume"),
    path(f"{JOB}/cancel", jobs.JobCancel.as_view(), name="job-cancel"),
    path(f"{JOB}/undo", jobs.JobUndo.as_view(), name="job-undo"),
    path(f"{JOB}/file", jobs.JobFile.as_view(), name="job-file"),
    path("requests", requests.Requests.as_view(), name="requests"),
    path(REQUEST, requests.RequestView.as_view(), name="request"),
    path(f"{REQUEST}/approve", requests.RequestApprove.as_view(), name="request-approve"),
    path(f"{REQUEST}/reject", requests.RequestReject.as_view(), name="request-reject"),
    path(f"{REQUEST}/withdraw", requests.RequestWithdraw.as_view(), name="request-withdraw"),
    path("ensembles", ensembles.Ensembles.as_view(), name="ensembles"),
    path(ENSEMBLE, ensembles.EnsembleView.as_view(), name="ensemble"),
    path(f"{ENSEMBLE}/drift", ensembles.EnsembleDrift.as_view(), name="ensemble-drift"),
    path(f"{ENSEMBLE}/repair", ensembles.EnsembleRepair.as_view(), name="ensemble-repair"),
    path(f"{ENSEMBLE}/znodes", znodes.EnsembleZnodes.as_view(), name="ensemble-znodes"),
    path(
        f"{ENSEMBLE}/znodes/children", znodes.EnsembleChildren.as_view(), name="ensemble-children"
    ),
    path(f"{ENSEMBLE}/znodes/acl", znodes.EnsembleAcl.as_view(), name="ensemble-acl"),
    path("policy", policy.PolicyView.as_view(), name="policy"),
    path("policy/apply", policy.PolicyApply.as_view(), name="policy-apply"),
    path("people", people.People.as_view(), name="people"),
    path(PERSON, people.Person.as_view(), name="person"),
    path(f"{PERSON}/password", people.PersonPassword.as_view(), name="person-password"),
    path(f"{PERSON}/activate", people.PersonActivate.as_view(), name="person-activate"),
    path(f"{PERSON}/deactivate", people.PersonDeactivate.as_view(), name="person-deactivate"),
    path(f"{PERSON}/mfa-reset", people.PersonMfaReset.as_view(), name="person-mfa-reset"),
]
