"""URLs of jobs."""

from django.urls import path

from panel.core import views

urlpatterns = [
    path("jobs/", views.list_jobs, name="list_jobs"),
    path("jobs/<int:pk>/", views.show_job, name="show_job"),
]
