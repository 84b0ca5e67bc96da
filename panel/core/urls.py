"""URLs of jobs."""

from django.urls import path

from panel.core import design_views, schedule_views, views

urlpatterns = [
    path("_design/", design_views.show_design, name="show_design"),
    path("jobs/", views.list_jobs, name="list_jobs"),
    path("jobs/schedule/", schedule_views.list_schedule, name="list_scheduled_jobs"),
    path("jobs/schedule/<slug:name>/run/", schedule_views.run_now, name="run_scheduled_job"),
    path("jobs/schedule/<slug:name>/pause/", schedule_views.pause, name="pause_scheduled_job"),
    path("jobs/schedule/<slug:name>/resume/", schedule_views.resume, name="resume_scheduled_job"),
    path("jobs/<int:pk>/", views.show_job, name="show_job"),
]
