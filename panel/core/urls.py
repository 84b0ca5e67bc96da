"""URLs of jobs."""

from django.urls import path

from panel.core import design_views, views

urlpatterns = [
    path("_design/", design_views.show_design, name="show_design"),
    path("jobs/", views.list_jobs, name="list_jobs"),
    path("jobs/<int:pk>/", views.show_job, name="show_job"),
]
